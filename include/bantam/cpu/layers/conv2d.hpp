// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/cpu/kernels/conv_operation.hpp>
#include <bantam/cpu/kernels/dense_conv.hpp>
#include <bantam/cpu/kernels/pointwise_conv.hpp>
#include <bantam/cpu/kernels/winograd_conv.hpp>
#include <bantam/cpu/runtime/operation.hpp>
#include <bantam/layers/conv2d.hpp>

namespace bantam::cpu {

template <int Out, int KernelSize, int Stride, ConvOptions Options, Shape Input, class S>
struct Operation<Conv2d<Out, KernelSize, Stride, Options>, Input, S>
    : ConvOperation<DenseKernel<Conv2d<Out, KernelSize, Stride, Options>, Input, S>, S> {};

template <int Out, ConvOptions Options, Shape Input, class S>
    requires(Options.groups == 1 && Options.padding <= 0)
struct Operation<Conv2d<Out, 1, 1, Options>, Input, S> : PointwiseOperation<Input, Out, Options.bias, S> {};

template <int Out, ConvOptions Options, Shape Input, class S>
    requires(winograd_is_faster<Conv2d<Out, 3, 1, Options>, Input>())
struct Operation<Conv2d<Out, 3, 1, Options>, Input, S>
    : ConvOperation<WinogradKernel<Conv2d<Out, 3, 1, Options>, Input, S>, S> {};

}  // namespace bantam::cpu
