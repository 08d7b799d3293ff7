// SPDX-License-Identifier: MIT
#include "nets.hpp"

#include <bantam/models/tiniest.hpp>

namespace bantam::bench {

Timing time_tiniest_97k(const TimingOptions& options) { return time_net<Tiniest97k<10>>(options); }

}  // namespace bantam::bench
