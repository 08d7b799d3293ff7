// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/cpu/kernels/conv_operation.hpp>
#include <bantam/cpu/kernels/depthwise_conv.hpp>
#include <bantam/cpu/runtime/operation.hpp>
#include <bantam/layers/depthwise_conv2d.hpp>

namespace bantam::cpu {

template <auto KernelSize, auto Stride, ConvOptions Options, Shape Input, class S>
struct Operation<DepthwiseConv2d<KernelSize, Stride, Options>, Input, S>
    : ConvOperation<DepthwiseKernel<DepthwiseConv2d<KernelSize, Stride, Options>, Input, S>, S> {};

}  // namespace bantam::cpu
