// SPDX-License-Identifier: MIT
#include "../common/deployed_timing.hpp"
#include "nets.hpp"

#include <bantam/models/mobile.hpp>

namespace bantam::bench {

Timing time_mobile_98k(const TimingOptions& options) {
    if (options.mode == "inference-deployed") return time_deployed_inference<Mobile98k<11>>(options);
    if (options.mode == "inference-int8") return time_int8_inference<Mobile98k<11>>(options);
    return time_net<Mobile98k<11>>(options);
}

}  // namespace bantam::bench
