// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/core/network.hpp>
#include <bantam/layers/depthwise_separable.hpp>
#include <bantam/layers/linear.hpp>
#include <bantam/layers/pooling.hpp>
#include <bantam/layers/residual.hpp>

namespace bantam {

/// A depthwise-separable block with a shortcut (He et al., 2015): it keeps shape and channels.
template <int Channels, int KernelSize = 5>
using ResidualSeparable = Residual<DepthwiseSeparable<Channels, 1, KernelSize>>;

/// The stem and stages of the networks below: a dense 3×3/2 stem, a 3×3 block, and three stages of 5×5 blocks with
/// `A`, `B` and `C` channels, the first of which has stride `FirstStride`. With stride 1 every map has four times the
/// pixels that it has with stride 2, so that the same parameters compute about 3.5 times as much.
template <int Classes, int Size, int FirstStride, int Stem, int First, int A, int B, int C>
using ResidualSeparableNetwork =
    Network<Image<Size, Size, 3>, Conv2d<Stem, 3, 2, ConvOptions{.bias = false}>, BatchNorm2d, ReLU6,
            DepthwiseSeparable<First>, DepthwiseSeparable<A, FirstStride, 5>, ResidualSeparable<A>,
            DepthwiseSeparable<B, 2, 5>, ResidualSeparable<B>, ResidualSeparable<B>, DepthwiseSeparable<C, 2, 5>,
            ResidualSeparable<C>, GlobalAveragePool, Linear<Classes>>;

/// Mobile98k with shortcuts and 5×5 kernels: 98,575 parameters with 11 classes, 25.6 million multiply-adds at 128×128.
template <int Classes, int Size = 128>
using Residual98k = ResidualSeparableNetwork<Classes, Size, 2, 16, 32, 64, 108, 148>;

/// The same parameters on larger maps, down to 16×16: 88.9 million multiply-adds at 128×128.
template <int Classes, int Size = 128>
using HighResolution98k = ResidualSeparableNetwork<Classes, Size, 1, 16, 32, 64, 108, 148>;

/// For a budget of 60,000 parameters.
template <int Classes, int Size = 128>
using HighResolution60k = ResidualSeparableNetwork<Classes, Size, 1, 16, 24, 48, 80, 112>;

}  // namespace bantam
