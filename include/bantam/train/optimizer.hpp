// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/train/adamw.hpp>
#include <bantam/train/options.hpp>
#include <bantam/train/sgd.hpp>

#include <span>
#include <variant>
#include <vector>

namespace bantam {

/// The optimizer that TrainingOptions ask for, chosen at run time.
template <class Scalar>
class Optimizer {
public:
    /// `ranges` cover the parameter buffer [parameter_count]; throws Error where they do not.
    Optimizer(const TrainingOptions& options, std::span<const ParameterRange> ranges, Index parameter_count)
        : rule_{make(options, ranges, parameter_count)} {}

    /// One step, in one pass over memory. `gradient`, `parameters` and `average` are
    /// [parameter_count]; an empty `average` keeps no moving average.
    void step(const Update& update, std::span<const Scalar> gradient, std::span<Scalar> parameters,
              std::span<Scalar> average = {}) {
        std::visit([&](auto& rule) { rule.step(update, gradient, parameters, average); }, rule_);
    }

    /// Steps taken so far; a checkpoint keeps it with state().
    Index steps() const {
        return std::visit([](const auto& rule) { return rule.steps(); }, rule_);
    }
    void set_steps(Index steps) {
        std::visit([=](auto& rule) { rule.set_steps(steps); }, rule_);
    }

    /// The named buffers a checkpoint keeps, each [parameter_count], writable to restore them.
    std::vector<OptimizerState<Scalar>> state() {
        return std::visit(
            [](auto& rule) {
                const auto buffers = rule.state();
                return std::vector<OptimizerState<Scalar>>(buffers.begin(), buffers.end());
            },
            rule_);
    }

private:
    using Rule = std::variant<Sgd<Scalar>, AdamW<Scalar>>;

    static Rule make(const TrainingOptions& options, std::span<const ParameterRange> ranges, Index parameter_count) {
        if (options.optimizer == OptimizerKind::sgd) {
            return Sgd<Scalar>{{.momentum = options.momentum,
                                .weight_decay = options.weight_decay,
                                .nesterov = options.momentum > 0.0},
                               ranges,
                               parameter_count};
        }
        return AdamW<Scalar>{{.beta1 = options.beta1,
                              .beta2 = options.beta2,
                              .epsilon = options.epsilon,
                              .weight_decay = options.weight_decay},
                             ranges,
                             parameter_count};
    }

    Rule rule_;
};

}  // namespace bantam
