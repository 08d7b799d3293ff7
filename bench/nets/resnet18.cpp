// SPDX-License-Identifier: MIT
#include "nets.hpp"

#include <bantam/models/resnet18.hpp>

namespace bantam::bench {

Timing time_resnet18(const TimingOptions& options) {
    Timing timing;
    timing.multiply_adds = multiply_adds<ResNet18<10>>;
    timing.calls = time_inference<ResNet18<10>>(options, random_batch<ResNet18<10>>(options.batch));
    return timing;
}

}  // namespace bantam::bench
