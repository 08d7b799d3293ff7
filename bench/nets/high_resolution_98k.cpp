// SPDX-License-Identifier: MIT
#include "../common/deployed_timing.hpp"
#include "nets.hpp"

#include <bantam/models/residual.hpp>

namespace bantam::bench {

Timing time_high_resolution_98k(const TimingOptions& options) {
    if (options.mode == "inference-deployed") return time_deployed_inference<HighResolution98k<11>>(options);
    if (options.mode == "inference-int8") return time_int8_inference<HighResolution98k<11>>(options);
    return time_net<HighResolution98k<11>>(options);
}

}  // namespace bantam::bench
