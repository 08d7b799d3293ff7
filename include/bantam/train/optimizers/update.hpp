// SPDX-License-Identifier: MIT
#pragma once

#include <span>

namespace bantam {

/// What changes from one optimizer step to the next.
struct Update {
    double learning_rate;
    double gradient_scale = 1.0;   ///< the gradient is multiplied by it first (see clip_scale)
    double averaging_decay = 0.0;  ///< average = decay · average + (1 − decay) · new parameter
    int threads = 1;
};

/// One named buffer of an optimizer's state, to be saved and restored.
template <class Scalar>
struct OptimizerState {
    const char* name;
    std::span<Scalar> values;
};

}  // namespace bantam
