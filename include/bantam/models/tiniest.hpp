// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/core/network.hpp>
#include <bantam/layers/branches.hpp>
#include <bantam/layers/depthwise_conv2d.hpp>
#include <bantam/layers/gate.hpp>
#include <bantam/layers/layer_norm.hpp>
#include <bantam/layers/linear.hpp>
#include <bantam/layers/pooling.hpp>
#include <bantam/layers/residual.hpp>

namespace bantam {

/// The block of the cifar10-tiniest network (github xvel/cifar10-tiniest): four branches on a quarter of
/// the channels each (identity, depthwise 3×3, depthwise 7×7, 3×3 average followed by a depthwise 7×7 of dilation 3),
/// layer norm, and two pointwise convolutions with a gate between them; the scaled input is added.
template <int Width>
using TiniestBlock =
    ScaledResidual<Scale::shortcut,
                   SplitConcatenate<Identity, DepthwiseConv2d<3>, DepthwiseConv2d<7>,
                                    Sequence<AvgPool2d<3, 1, 1>, DepthwiseConv2d<7, 1, ConvOptions{.dilation = 3}>>>,
                   LayerNorm, PointwiseConv2d<2 * Width>, TanhExpGate, PointwiseConv2d<Width>>;

/// The cifar10-tiniest network: 97,530 parameters at 32×32 with 10 classes, all of them trainable.
template <int Classes, int Size = 32>
using Tiniest97k = Network<Image<Size, Size, 3>, Conv2d<48, 3>, LayerNorm, TiniestBlock<48>, TiniestBlock<48>,
                           TiniestBlock<48>, Conv2d<80, 4, 2, ConvOptions{.padding = 1, .groups = 16}>, LayerNorm,
                           TiniestBlock<80>, TiniestBlock<80>, TiniestBlock<80>, GlobalAveragePool, Linear<Classes>>;

/// The same for photographs: a 4×4/4 stem leaves 32×32 positions of a picture of 128×128. 98,619 parameters with 11
/// classes.
template <int Classes, int Size = 128>
using StridedTiniest98k =
    Network<Image<Size, Size, 3>, Conv2d<48, 4, 4, ConvOptions{.padding = 0}>, LayerNorm, TiniestBlock<48>,
            TiniestBlock<48>, TiniestBlock<48>, Conv2d<80, 4, 2, ConvOptions{.padding = 1, .groups = 16}>, LayerNorm,
            TiniestBlock<80>, TiniestBlock<80>, TiniestBlock<80>, GlobalAveragePool, Linear<Classes>>;

}  // namespace bantam
