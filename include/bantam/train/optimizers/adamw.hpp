// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/host_device.hpp>
#include <bantam/base/index.hpp>
#include <bantam/train/optimizers/rule_optimizer.hpp>
#include <bantam/train/optimizers/update.hpp>

#include <array>
#include <cmath>

namespace bantam {

struct AdamWOptions {
    double beta1 = 0.9;
    double beta2 = 0.999;
    double epsilon = 1e-8;
    double weight_decay = 0.05;  ///< shrinks the parameter itself (decoupled), on decayed ranges only
};

/// Adam with decoupled weight decay, the rule of torch.optim.AdamW without amsgrad. One parameter's step, on
/// any device, with t counted from 1 and g = scale · gradient:
///
///   parameter *= 1 − learning_rate · weight_decay
///   m = β1 · m + (1 − β1) · g,   v = β2 · v + (1 − β2) · g²
///   parameter −= learning_rate / (1 − β1ᵗ) · m / (√v / √(1 − β2ᵗ) + ε)
///
/// (Loshchilov & Hutter, "Decoupled weight decay regularization", 2019).
template <class S>
struct AdamWRule {
    using Scalar = S;
    using Options = AdamWOptions;
    static constexpr std::array<const char*, 2> state_names{"first_moment", "second_moment"};

    S scale, shrink, beta1, one_minus_beta1, beta2, one_minus_beta2, rate, root_correction, epsilon;

    AdamWRule() = default;
    AdamWRule(const AdamWOptions& options, const Update& update, bool decayed, Index step)
        : scale{static_cast<S>(update.gradient_scale)},
          shrink{static_cast<S>(decayed ? 1.0 - update.learning_rate * options.weight_decay : 1.0)},
          beta1{static_cast<S>(options.beta1)},
          one_minus_beta1{static_cast<S>(1.0 - options.beta1)},
          beta2{static_cast<S>(options.beta2)},
          one_minus_beta2{static_cast<S>(1.0 - options.beta2)},
          rate{static_cast<S>(update.learning_rate / correction(options.beta1, step))},
          root_correction{static_cast<S>(1.0 / std::sqrt(correction(options.beta2, step)))},
          epsilon{static_cast<S>(options.epsilon)} {}

    /// The parameter's next value; updates its moments.
    BANTAM_HOST_DEVICE S operator()(S gradient, S parameter, S& first_moment, S& second_moment) const {
        const S g = scale * gradient;
        first_moment = beta1 * first_moment + one_minus_beta1 * g;
        second_moment = beta2 * second_moment + one_minus_beta2 * g * g;
        const S deviation = std::sqrt(second_moment) * root_correction + epsilon;
        return shrink * parameter - rate * first_moment / deviation;
    }

private:
    static double correction(double beta, Index step) { return 1.0 - std::pow(beta, static_cast<double>(step)); }
};

template <class Scalar>
using AdamW = RuleOptimizer<AdamWRule<Scalar>>;

}  // namespace bantam
