// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/cuda/kernels/conv_operation.hpp>
#include <bantam/cuda/kernels/depthwise_conv.hpp>
#include <bantam/cuda/runtime/operation.hpp>
#include <bantam/layers/depthwise_conv2d.hpp>

namespace bantam::cuda {

template <auto Kernel, auto Stride, ConvOptions Options, Shape Input, class S>
struct Operation<DepthwiseConv2d<Kernel, Stride, Options>, Input, S>
    : ConvOperation<DepthwiseKernel<DepthwiseConv2d<Kernel, Stride, Options>, Input, S>, S> {};

}  // namespace bantam::cuda
