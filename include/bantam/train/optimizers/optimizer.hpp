// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/train/optimizers/adamw.hpp>
#include <bantam/train/optimizers/parameter_range.hpp>
#include <bantam/train/optimizers/sgd.hpp>
#include <bantam/train/optimizers/update.hpp>
#include <bantam/train/options.hpp>

#include <span>
#include <type_traits>
#include <variant>
#include <vector>

namespace bantam {

/// Calls `body(std::type_identity<Rule>{}, rule_options)` with the rule that `options` choose and returns what
/// it returns. The one place that maps TrainingOptions to the options of an optimizer.
template <class Scalar, class Body>
auto with_optimizer_rule(const TrainingOptions& options, Body&& body) {
    if (options.optimizer == OptimizerKind::sgd)
        return body(std::type_identity<SgdRule<Scalar>>{}, SgdOptions{.momentum = options.momentum,
                                                                      .weight_decay = options.weight_decay,
                                                                      .nesterov = options.momentum > 0.0});
    return body(std::type_identity<AdamWRule<Scalar>>{}, AdamWOptions{.beta1 = options.beta1,
                                                                      .beta2 = options.beta2,
                                                                      .epsilon = options.epsilon,
                                                                      .weight_decay = options.weight_decay});
}

/// The optimizer that TrainingOptions choose at run time, on the CPU. Its members are those of RuleOptimizer.
template <class Scalar>
class Optimizer {
public:
    Optimizer(const TrainingOptions& options, std::span<const ParameterRange> ranges, Index parameter_count)
        : optimizer_{with_optimizer_rule<Scalar>(
              options, [&]<class Rule>(std::type_identity<Rule>, const typename Rule::Options& rule_options) {
                  return AnyOptimizer{RuleOptimizer<Rule>{rule_options, ranges, parameter_count}};
              })} {}

    void step(const Update& update, std::span<const Scalar> gradient, std::span<Scalar> parameters,
              std::span<Scalar> average = {}) {
        std::visit([&](auto& chosen) { chosen.step(update, gradient, parameters, average); }, optimizer_);
    }

    Index steps() const {
        return std::visit([](const auto& chosen) { return chosen.steps(); }, optimizer_);
    }
    void set_steps(Index steps) {
        std::visit([=](auto& chosen) { chosen.set_steps(steps); }, optimizer_);
    }

    std::vector<OptimizerState<Scalar>> state() {
        return std::visit([](auto& chosen) { return chosen.state(); }, optimizer_);
    }

private:
    using AnyOptimizer = std::variant<Sgd<Scalar>, AdamW<Scalar>>;

    AnyOptimizer optimizer_;
};

}  // namespace bantam
