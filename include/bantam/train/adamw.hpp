// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/host_device.hpp>
#include <bantam/base/index.hpp>
#include <bantam/train/update.hpp>

#include <array>
#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

namespace bantam {

struct AdamWOptions {
    double beta1 = 0.9;
    double beta2 = 0.999;
    double epsilon = 1e-8;
    double weight_decay = 0.05;  ///< shrinks the parameter itself (decoupled), on decayed ranges only
};

/// One parameter's step, on any device: the rule that AdamW states, at step `step`, counted from 1.
template <class Scalar>
struct AdamWRule {
    Scalar scale, shrink, keep1, fresh1, keep2, fresh2, rate, root_correction, epsilon;

    AdamWRule() = default;
    AdamWRule(const AdamWOptions& options, const Update& update, bool decayed, Index step)
        : scale{static_cast<Scalar>(update.gradient_scale)},
          shrink{static_cast<Scalar>(decayed ? 1.0 - update.learning_rate * options.weight_decay : 1.0)},
          keep1{static_cast<Scalar>(options.beta1)},
          fresh1{static_cast<Scalar>(1.0 - options.beta1)},
          keep2{static_cast<Scalar>(options.beta2)},
          fresh2{static_cast<Scalar>(1.0 - options.beta2)},
          rate{static_cast<Scalar>(update.learning_rate / correction(options.beta1, step))},
          root_correction{static_cast<Scalar>(1.0 / std::sqrt(correction(options.beta2, step)))},
          epsilon{static_cast<Scalar>(options.epsilon)} {}

    /// The parameter's next value; moves its moments.
    BANTAM_HOST_DEVICE Scalar operator()(Scalar gradient, Scalar parameter, Scalar& first_moment,
                                         Scalar& second_moment) const {
        const Scalar g = scale * gradient;
        first_moment = keep1 * first_moment + fresh1 * g;
        second_moment = keep2 * second_moment + fresh2 * g * g;
        const Scalar spread = std::sqrt(second_moment) * root_correction + epsilon;
        return shrink * parameter - rate * first_moment / spread;
    }

private:
    static double correction(double beta, Index step) { return 1.0 - std::pow(beta, static_cast<double>(step)); }
};

/// Adam with decoupled weight decay, the rule of torch.optim.AdamW without amsgrad. With t counted
/// from 1 and g = scale · gradient:
///
///   parameter *= 1 − learning_rate · weight_decay
///   m = β1 · m + (1 − β1) · g,   v = β2 · v + (1 − β2) · g²
///   parameter −= learning_rate / (1 − β1ᵗ) · m / (√v / √(1 − β2ᵗ) + ε)
///
/// (Loshchilov & Hutter, "Decoupled weight decay regularization", 2019).
template <class Scalar>
class AdamW {
public:
    /// `ranges` cover the parameter buffer [parameter_count]; throws Error where they do not.
    AdamW(const AdamWOptions& options, std::span<const ParameterRange> ranges, Index parameter_count)
        : options_{options},
          ranges_{joined_ranges(ranges, parameter_count)},
          first_moment_(static_cast<std::size_t>(parameter_count)),
          second_moment_(static_cast<std::size_t>(parameter_count)) {}

    /// One step, in one pass over memory. `gradient`, `parameters` and `average` are
    /// [parameter_count]; an empty `average` keeps no moving average.
    void step(const Update& update, std::span<const Scalar> gradient, std::span<Scalar> parameters,
              std::span<Scalar> average = {}) {
        detail::require_same_size("gradient", gradient.size(), first_moment_.size());
        detail::require_same_size("parameter", parameters.size(), first_moment_.size());
        if (!average.empty()) {
            detail::require_same_size("average", average.size(), first_moment_.size());
        }
        ++steps_;
        detail::for_each_block(ranges_, update.threads, [&](Index begin, Index end, bool decayed) {
            run(update, decayed, end - begin, gradient.data() + begin, first_moment_.data() + begin,
                second_moment_.data() + begin, parameters.data() + begin,
                average.empty() ? nullptr : average.data() + begin);
        });
    }

    Index steps() const { return steps_; }
    void set_steps(Index steps) { steps_ = steps; }

    /// The memory a checkpoint keeps, besides steps().
    std::array<OptimizerState<Scalar>, 2> state() {
        return {{{"first_moment", first_moment_}, {"second_moment", second_moment_}}};
    }

private:
    void run(const Update& update, bool decayed, Index count, const Scalar* __restrict gradient,
             Scalar* __restrict first_moment, Scalar* __restrict second_moment, Scalar* __restrict parameters,
             Scalar* __restrict average) const {
        const auto toward = static_cast<Scalar>(1.0 - update.averaging_decay);
        const AdamWRule<Scalar> rule{options_, update, decayed, steps_};
        const auto one = [=](Index index) {
            return parameters[index] =
                       rule(gradient[index], parameters[index], first_moment[index], second_moment[index]);
        };
        if (average == nullptr) {
            for (Index index = 0; index < count; ++index) one(index);
        } else {
            for (Index index = 0; index < count; ++index) {
                average[index] += toward * (one(index) - average[index]);
            }
        }
    }

    AdamWOptions options_;
    std::vector<ParameterRange> ranges_;
    std::vector<Scalar> first_moment_;
    std::vector<Scalar> second_moment_;
    Index steps_ = 0;
};

}  // namespace bantam
