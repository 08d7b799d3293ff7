// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/core/network.hpp>
#include <bantam/layers/depthwise_separable.hpp>
#include <bantam/layers/linear.hpp>
#include <bantam/layers/pooling.hpp>

namespace bantam {

/// The quickstart's teacher, small enough to be trained on the spot: the student's plan, wider.
template <int Classes, int Size = 64>
using SampleTeacher =
    Network<Image<Size, Size, 3>, Conv2d<32, 3, 2, ConvOptions{.bias = false}>, BatchNorm2d, ReLU6,
            DepthwiseSeparable<64>, DepthwiseSeparable<128, 2>, DepthwiseSeparable<128>,
            DepthwiseSeparable<256, 2>, DepthwiseSeparable<256>, DepthwiseSeparable<384, 2>,
            DepthwiseSeparable<384>, GlobalAveragePool, Linear<Classes>>;

}  // namespace bantam
