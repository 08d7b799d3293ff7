// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/cpu/kernels/pointwise_conv.hpp>
#include <bantam/layers/linear.hpp>

namespace bantam::cpu {

template <int Out, Bias HasBias, Shape Input, class S>
struct Operation<Linear<Out, HasBias>, Input, S> : PointwiseOperation<Input, Out, HasBias == Bias::with, S> {};

}  // namespace bantam::cpu
