// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/core/network.hpp>
#include <bantam/layers/inverted_residual.hpp>
#include <bantam/layers/linear.hpp>
#include <bantam/layers/pooling.hpp>

namespace bantam {

/// Inverted residuals with 5×5 kernels, after MobileNetV2 (Sandler et al., 2018): 99,295 parameters with 11 classes,
/// 29.6 million multiply-adds at 128×128.
template <int Classes, int Size = 128>
using Inverted99k =
    Network<Image<Size, Size, 3>, Conv2d<16, 3, 2, ConvOptions{.bias = false}>, BatchNorm2d, ReLU6,
            InvertedResidual<16, 1, 1>, InvertedResidual<24, 2, 4, 5>, InvertedResidual<24, 1, 3, 5>,
            InvertedResidual<40, 2, 3, 5>, InvertedResidual<40, 1, 3, 5>, InvertedResidual<40, 1, 3, 5>,
            InvertedResidual<60, 2, 3, 5>, InvertedResidual<60, 1, 3, 5>,
            PointwiseConv2d<120, ConvOptions{.bias = false}>, BatchNorm2d, ReLU6, GlobalAveragePool, Linear<Classes>>;

}  // namespace bantam
