// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/core/network.hpp>
#include <bantam/layers/depthwise_separable.hpp>
#include <bantam/layers/linear.hpp>
#include <bantam/layers/pooling.hpp>

namespace bantam {

/// The teacher of the quickstart: the student's layers with more channels, still trained within minutes.
template <int Classes, int Size = 48>
using SampleTeacher = Network<Image<Size, Size, 3>, Conv2d<24, 3, 2, ConvOptions{.bias = false}>, BatchNorm2d, ReLU6,
                              DepthwiseSeparable<48>, DepthwiseSeparable<96, 2>, DepthwiseSeparable<96>,
                              DepthwiseSeparable<192, 2>, DepthwiseSeparable<192>, DepthwiseSeparable<320, 2>,
                              DepthwiseSeparable<320>, GlobalAveragePool, Linear<Classes>>;

}  // namespace bantam
