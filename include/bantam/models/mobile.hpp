// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/core/network.hpp>
#include <bantam/layers/depthwise_separable.hpp>
#include <bantam/layers/linear.hpp>
#include <bantam/layers/pooling.hpp>

namespace bantam {

/// The default student: a dense 3×3/2 stem and seven depthwise-separable blocks. With 11 classes it
/// has 95,371 trainable parameters and 2,784 statistics: 98,155. `Size` is the picture's side.
template <int Classes, int Size = 128>
using Mobile98k = Network<Image<Size, Size, 3>, Conv2d<16, 3, 2, ConvOptions{.bias = false}>, BatchNorm2d, ReLU6,
                          DepthwiseSeparable<32>, DepthwiseSeparable<64, 2>, DepthwiseSeparable<64>,
                          DepthwiseSeparable<128, 2>, DepthwiseSeparable<128>, DepthwiseSeparable<176, 2>,
                          DepthwiseSeparable<176>, GlobalAveragePool, Linear<Classes>>;

}  // namespace bantam
