// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/train/optimizers/adamw.hpp>
#include <bantam/train/optimizers/lookahead.hpp>
#include <bantam/train/optimizers/muon.hpp>
#include <bantam/train/optimizers/parameter_range.hpp>
#include <bantam/train/optimizers/sgd.hpp>
#include <bantam/train/optimizers/update.hpp>
#include <bantam/train/options.hpp>

#include <optional>
#include <span>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace bantam {

// The options of each optimizer, from those of a training run.

inline SgdOptions sgd_options(const TrainingOptions& options) {
    return {.momentum = options.momentum, .weight_decay = options.weight_decay, .nesterov = options.momentum > 0.0};
}
inline AdamWOptions adamw_options(const TrainingOptions& options) {
    return {.beta1 = options.beta1,
            .beta2 = options.beta2,
            .epsilon = options.epsilon,
            .weight_decay = options.weight_decay};
}
inline MuonOptions muon_options(const TrainingOptions& options) {
    return {.momentum = options.momentum, .adamw = adamw_options(options)};
}
inline std::optional<LookaheadOptions> lookahead_options(const TrainingOptions& options) {
    if (options.lookahead_steps == 0) return std::nullopt;
    return LookaheadOptions{.steps = options.lookahead_steps, .alpha = options.lookahead_alpha};
}

/// Calls `body(std::type_identity<Rule>{}, rule_options)` with the rule that `options` choose for single parameters and
/// returns what it returns. Muon steps its matrices apart from this rule.
template <class Scalar, class Body>
auto with_optimizer_rule(const TrainingOptions& options, Body&& body) {
    if (options.optimizer == OptimizerKind::sgd)
        return body(std::type_identity<SgdRule<Scalar>>{}, sgd_options(options));
    return body(std::type_identity<AdamWRule<Scalar>>{}, adamw_options(options));
}

/// The optimizer that TrainingOptions choose at run time, on the CPU. Its members are those of RuleOptimizer.
template <class Scalar>
class Optimizer {
public:
    /// `matrices` are those that Muon steps; the other optimizers do not tell them from other parameters.
    Optimizer(const TrainingOptions& options, std::span<const ParameterRange> ranges, Index parameter_count,
              std::span<const ParameterMatrix> matrices = {})
        : optimizer_{choose(options, ranges, parameter_count, matrices)} {
        if (const auto lookahead = lookahead_options(options)) lookahead_.emplace(*lookahead, parameter_count);
    }

    void step(const Update& update, std::span<const Scalar> gradient, std::span<Scalar> parameters,
              std::span<Scalar> average = {}) {
        if (!lookahead_) return step_optimizer(update, gradient, parameters, average);
        lookahead_->begin(steps() + 1, parameters);
        step_optimizer(update, gradient, parameters, {});
        lookahead_->end(steps(), update, parameters, average);
    }

    Index steps() const {
        return std::visit([](const auto& chosen) { return chosen.steps(); }, optimizer_);
    }
    void set_steps(Index steps) {
        std::visit([=](auto& chosen) { chosen.set_steps(steps); }, optimizer_);
    }

    std::vector<OptimizerState<Scalar>> state() {
        auto buffers = std::visit([](auto& chosen) { return chosen.state(); }, optimizer_);
        if (lookahead_) buffers.push_back(lookahead_->state());
        return buffers;
    }

private:
    using AnyOptimizer = std::variant<Sgd<Scalar>, AdamW<Scalar>, Muon<Scalar>>;

    static AnyOptimizer choose(const TrainingOptions& options, std::span<const ParameterRange> ranges,
                               Index parameter_count, std::span<const ParameterMatrix> matrices) {
        switch (options.optimizer) {
            case OptimizerKind::muon:
                return Muon<Scalar>{muon_options(options), ranges, matrices, parameter_count};
            case OptimizerKind::adamw:
                return AdamW<Scalar>{adamw_options(options), ranges, parameter_count};
            case OptimizerKind::sgd:
                break;
        }
        return Sgd<Scalar>{sgd_options(options), ranges, parameter_count};
    }

    void step_optimizer(const Update& update, std::span<const Scalar> gradient, std::span<Scalar> parameters,
                        std::span<Scalar> average) {
        std::visit([&](auto& chosen) { chosen.step(update, gradient, parameters, average); }, optimizer_);
    }

    AnyOptimizer optimizer_;
    std::optional<Lookahead<Scalar>> lookahead_;
};

}  // namespace bantam
