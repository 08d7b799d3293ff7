// SPDX-License-Identifier: MIT
#pragma once

#include "../common/network_timing.hpp"

namespace bantam::bench {

// One file per net, so that they compile in parallel.
Timing time_mobile_98k(const TimingOptions& options);
Timing time_high_resolution_98k(const TimingOptions& options);
Timing time_sample_88k(const TimingOptions& options);
Timing time_tiniest_97k(const TimingOptions& options);
Timing time_small_32(const TimingOptions& options);
Timing time_resnet18(const TimingOptions& options);  // inference only

}  // namespace bantam::bench
