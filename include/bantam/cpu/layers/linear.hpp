// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/cpu/kernels/pointwise_conv.hpp>
#include <bantam/layers/linear.hpp>

namespace bantam::cpu {

template <int Out, Bias WithBias, Shape Input, class S>
struct Operation<Linear<Out, WithBias>, Input, S> : PointwiseOperation<Input, Out, WithBias == Bias::with, S> {};

}  // namespace bantam::cpu
