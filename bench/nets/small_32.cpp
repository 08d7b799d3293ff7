// SPDX-License-Identifier: MIT
#include "nets.hpp"

#include <bantam/core/network.hpp>
#include <bantam/layers/depthwise_separable.hpp>
#include <bantam/layers/linear.hpp>
#include <bantam/layers/pooling.hpp>

namespace bantam::bench {

/// Its steps take a few milliseconds, so that waiting for other threads is a large part of them.
using Small32 = Network<Image<32, 32, 3>, Conv2d<16, 3>, BatchNorm2d, ReLU6, DepthwiseSeparable<32, 2>,
                        DepthwiseSeparable<64, 2>, GlobalAveragePool, Linear<10>>;

Timing time_small_32(const TimingOptions& options) { return time_net<Small32>(options); }

}  // namespace bantam::bench
