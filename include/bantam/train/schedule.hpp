// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>

#include <cmath>

namespace bantam {

/// Learning rate of each step. It rises linearly to `peak` over the first `warmup_steps` (the first step has
/// peak / warmup_steps, the last one `peak`), then falls along half a cosine that would reach
/// `peak * final_fraction` at step `total_steps` (Loshchilov & Hutter, "SGDR: stochastic gradient
/// descent with warm restarts", 2017, without restarts).
struct Schedule {
    double peak;
    Index warmup_steps;
    Index total_steps;
    double final_fraction = 0.0;

    /// `step` counts from 0 over the whole run, so that a resumed run continues where it stopped.
    double operator()(Index step) const {
        if (step < warmup_steps) {
            return peak * static_cast<double>(step + 1) / static_cast<double>(warmup_steps);
        }
        if (step >= total_steps) return peak * final_fraction;
        const double progress =
            static_cast<double>(step - warmup_steps) / static_cast<double>(total_steps - warmup_steps);
        const double height = 0.5 * (1.0 + std::cos(3.14159265358979323846 * progress));
        return peak * (final_fraction + (1.0 - final_fraction) * height);
    }
};

}  // namespace bantam
