// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/cpu/kernels/conv_operation.hpp>
#include <bantam/cpu/kernels/dense_conv.hpp>
#include <bantam/cpu/kernels/pointwise_conv.hpp>
#include <bantam/cpu/kernels/winograd_conv.hpp>
#include <bantam/cpu/runtime/operation.hpp>
#include <bantam/layers/conv2d.hpp>

namespace bantam::cpu {

template <int Out, auto KernelSize, auto Stride, ConvOptions Options, Shape Input, class S>
struct Operation<Conv2d<Out, KernelSize, Stride, Options>, Input, S>
    : ConvOperation<DenseKernel<Conv2d<Out, KernelSize, Stride, Options>, Input, S>, S> {};

template <int Out, auto KernelSize, auto Stride, ConvOptions Options, Shape Input, class S>
    requires(is_pointwise<Conv2d<Out, KernelSize, Stride, Options>>)
struct Operation<Conv2d<Out, KernelSize, Stride, Options>, Input, S> : PointwiseOperation<Input, Out, Options.bias, S> {
};

template <int Out, auto KernelSize, auto Stride, ConvOptions Options, Shape Input, class S>
    requires(winograd_is_faster<Conv2d<Out, KernelSize, Stride, Options>, Input>())
struct Operation<Conv2d<Out, KernelSize, Stride, Options>, Input, S>
    : ConvOperation<WinogradKernel<Conv2d<Out, KernelSize, Stride, Options>, Input, S>, S> {};

}  // namespace bantam::cpu
