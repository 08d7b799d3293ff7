// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/core/network.hpp>
#include <bantam/layers/activations.hpp>
#include <bantam/layers/depthwise_conv2d.hpp>
#include <bantam/layers/group_norm.hpp>
#include <bantam/layers/linear.hpp>
#include <bantam/layers/pooling.hpp>
#include <bantam/layers/residual.hpp>

namespace bantam {

/// A depthwise-separable block with group norms, which have no running statistics and do not depend on the batch.
template <int OutChannels, int Stride = 1, int KernelSize = 5, int Groups = 4>
using GroupNormSeparable =
    Sequence<DepthwiseConv2d<KernelSize, Stride, ConvOptions{.bias = false}>, GroupNorm<Groups>, ReLU6,
             PointwiseConv2d<OutChannels, ConvOptions{.bias = false}>, GroupNorm<Groups>, ReLU6>;

/// Residual98k with group norms: the statistics that they save buy wider layers. 98,643 parameters with 11 classes, all
/// of them trainable.
template <int Classes, int Size = 128>
using GroupNorm98k =
    Network<Image<Size, Size, 3>, Conv2d<16, 3, 2, ConvOptions{.bias = false}>, GroupNorm<4>, ReLU6,
            GroupNormSeparable<32, 1, 3>, GroupNormSeparable<64, 2>, Residual<GroupNormSeparable<64>>,
            GroupNormSeparable<112, 2>, Residual<GroupNormSeparable<112>>, Residual<GroupNormSeparable<112>>,
            GroupNormSeparable<148, 2>, Residual<GroupNormSeparable<148>>, GlobalAveragePool, Linear<Classes>>;

}  // namespace bantam
