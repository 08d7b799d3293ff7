// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/cuda/kernels/conv_operation.hpp>
#include <bantam/cuda/kernels/dense_conv.hpp>
#include <bantam/cuda/kernels/pointwise_conv.hpp>
#include <bantam/cuda/runtime/operation.hpp>
#include <bantam/layers/conv2d.hpp>

namespace bantam::cuda {

template <int Out, auto KernelSize, auto Stride, ConvOptions Options, Shape Input, class S>
struct Operation<Conv2d<Out, KernelSize, Stride, Options>, Input, S>
    : ConvOperation<DenseKernel<Conv2d<Out, KernelSize, Stride, Options>, Input, S>, S> {};

template <int Out, auto KernelSize, auto Stride, ConvOptions Options, Shape Input, class S>
    requires(is_pointwise<Conv2d<Out, KernelSize, Stride, Options>>)
struct Operation<Conv2d<Out, KernelSize, Stride, Options>, Input, S> : PointwiseOperation<Input, Out, Options.bias, S> {
};

}  // namespace bantam::cuda
