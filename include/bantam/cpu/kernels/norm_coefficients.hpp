// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>

namespace bantam::cpu {

/// The coefficients of a batch norm, one array [channels] each. Forward: y = scale · x + shift. Backward:
/// dL/dx = scale · dL/dy + slope · x + offset.
template <class S>
struct NormCoefficients {
    static constexpr Index count = 6;  ///< scalars per channel

    S *mean, *inverse_deviation, *scale, *shift;
    S *slope = nullptr, *offset = nullptr;  ///< backward only

    /// Coefficients stored one after the other: `count` · `channels` scalars from `values` on.
    static NormCoefficients at(S* values, Index channels) {
        return {values,
                values + channels,
                values + 2 * channels,
                values + 3 * channels,
                values + 4 * channels,
                values + 5 * channels};
    }
};

}  // namespace bantam::cpu
