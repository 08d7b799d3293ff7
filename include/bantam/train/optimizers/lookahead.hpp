// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/host_device.hpp>
#include <bantam/base/index.hpp>
#include <bantam/train/averaging.hpp>
#include <bantam/train/optimizers/rule_optimizer.hpp>
#include <bantam/train/optimizers/update.hpp>

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

namespace bantam {

struct LookaheadOptions {
    Index steps = 5;
    double alpha = 0.5;
};

/// Around any optimizer: after every `steps` of its steps the slow weights go by alpha towards the parameters, and the
/// parameters go back to them (Zhang, Lucas, Hinton & Ba, "Lookahead optimizer: k steps forward, 1 step back", 2019).
/// The optimizer keeps its momentum. What one step does to a parameter, on any device:
template <class S>
struct LookaheadRule {
    bool starts = false;        ///< the slow weights are the parameters before the step
    bool synchronizes = false;  ///< after the step, slow and fast weights meet
    S alpha{};

    LookaheadRule() = default;
    /// Of the optimizer's step number `step`, counted from 1.
    LookaheadRule(const LookaheadOptions& options, Index step)
        : starts{step == 1}, synchronizes{step % options.steps == 0}, alpha{static_cast<S>(options.alpha)} {}

    /// The parameter after the optimizer's step; updates the slow weight.
    BANTAM_HOST_DEVICE S operator()(S parameter, S& slow) const {
        if (!synchronizes) return parameter;
        return slow = slow + alpha * (parameter - slow);
    }
};

/// Lookahead's slow weights on the CPU.
template <class Scalar>
class Lookahead {
public:
    static constexpr const char* state_name = "slow_parameters";

    Lookahead(const LookaheadOptions& options, Index parameter_count)
        : options_{options}, slow_(static_cast<std::size_t>(parameter_count)) {}

    /// Call before the optimizer's step number `step`, counted from 1.
    void begin(Index step, std::span<const Scalar> parameters) {
        detail::require_buffer("parameter", parameters.size(), std::ssize(slow_));
        if (LookaheadRule<Scalar>{options_, step}.starts) std::ranges::copy(parameters, slow_.begin());
    }
    /// Call after it. `average` may be empty; it averages the parameters as they are after this call.
    void end(Index step, const Update& update, std::span<Scalar> parameters, std::span<Scalar> average) {
        if (!average.empty()) detail::require_buffer("average", average.size(), std::ssize(slow_));
        const LookaheadRule<Scalar> rule{options_, step};
        if (rule.synchronizes)
            for (std::size_t i = 0; i < slow_.size(); ++i) parameters[i] = rule(parameters[i], slow_[i]);
        const auto new_weight = static_cast<Scalar>(1.0 - update.averaging_decay);
        for (std::size_t i = 0; i < average.size(); ++i) average[i] = averaged(average[i], parameters[i], new_weight);
    }

    OptimizerState<Scalar> state() { return {state_name, slow_}; }

private:
    LookaheadOptions options_;
    std::vector<Scalar> slow_;
};

}  // namespace bantam
