// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/cuda/kernels/pointwise_conv.hpp>
#include <bantam/cuda/runtime/operation.hpp>
#include <bantam/layers/linear.hpp>

namespace bantam::cuda {

template <int Out, Bias WithBias, Shape Input, class S>
struct Operation<Linear<Out, WithBias>, Input, S> : PointwiseOperation<Input, Out, WithBias == Bias::with, S> {};

}  // namespace bantam::cuda
