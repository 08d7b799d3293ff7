// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/core/sequence.hpp>
#include <bantam/layers/activations.hpp>
#include <bantam/layers/batch_norm2d.hpp>
#include <bantam/layers/depthwise_conv2d.hpp>

namespace bantam {

/// A cheap replacement of a dense convolution (Howard et al., MobileNet, 2017): a depthwise K×K and a pointwise
/// convolution, each followed by batch norm and `Act`, without biases. N·K² + N·M weights instead of N·M·K².
template <int OutChannels, int Stride = 1, int KernelSize = 3, ActivationLayer Act = ReLU6>
struct DepthwiseSeparable : Sequence<DepthwiseConv2d<KernelSize, Stride, ConvOptions{.bias = false}>, BatchNorm2d, Act,
                                     PointwiseConv2d<OutChannels, ConvOptions{.bias = false}>, BatchNorm2d, Act> {
    static constexpr std::string_view name = "DepthwiseSeparable";
};

}  // namespace bantam
