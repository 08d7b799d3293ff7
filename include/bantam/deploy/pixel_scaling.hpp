// SPDX-License-Identifier: MIT
#pragma once

#include <array>

namespace bantam::deploy {

/// Mean and standard deviation per color of pictures in [0, 1]: a byte p becomes (p / 255 − mean) / deviation. The
/// defaults are ImageNet's, as in training.
struct PixelScaling {
    std::array<float, 3> mean{0.485F, 0.456F, 0.406F};
    std::array<float, 3> deviation{0.229F, 0.224F, 0.225F};
};

}  // namespace bantam::deploy
