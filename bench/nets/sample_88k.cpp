// SPDX-License-Identifier: MIT
#include "nets.hpp"

#include <bantam/models/sample.hpp>

namespace bantam::bench {

Timing time_sample_88k(const TimingOptions& options) { return time_net<Sample88k<11>>(options); }

}  // namespace bantam::bench
