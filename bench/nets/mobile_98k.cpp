// SPDX-License-Identifier: MIT
#include "nets.hpp"

#include <bantam/models/mobile.hpp>

namespace bantam::bench {

Timing time_mobile_98k(const TimingOptions& options) { return time_net<Mobile98k<11>>(options); }

}  // namespace bantam::bench
