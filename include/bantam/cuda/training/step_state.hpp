// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/host_device.hpp>
#include <bantam/base/index.hpp>
#include <bantam/train/losses.hpp>
#include <bantam/train/optimizers/adamw.hpp>
#include <bantam/train/optimizers/lookahead.hpp>
#include <bantam/train/optimizers/muon.hpp>
#include <bantam/train/optimizers/sgd.hpp>

#include <concepts>
#include <cstdint>
#include <type_traits>

namespace bantam::cuda {

namespace detail {

BANTAM_HOST_DEVICE constexpr Index count_loss_figures() {
    Index count = 0;
    LossSums sums;
    for_each_loss_figure([&](const auto&) { ++count; }, sums);
    return count;
}

}  // namespace detail

/// How many figures LossSums has. Kernels keep them as doubles, in the order of for_each_loss_figure.
inline constexpr Index loss_figures = detail::count_loss_figures();

BANTAM_HOST_DEVICE inline void store_loss_sums(LossSums sums, double* figures) {
    for_each_loss_figure([&](const auto& figure) { *figures++ = static_cast<double>(figure); }, sums);
}
BANTAM_HOST_DEVICE inline LossSums load_loss_sums(const double* figures) {
    LossSums sums;
    for_each_loss_figure(
        [&](auto& figure) { figure = static_cast<std::remove_reference_t<decltype(figure)>>(*figures++); }, sums);
    return sums;
}

/// The figures of one step.
struct StepFigures {
    double loss[loss_figures];  ///< sums over the samples; a sample that cannot be used is not counted
    double squared_norm;        ///< of the gradient
    double statistics;          ///< 0 where all running means and variances are finite, else NaN
    double scale;               ///< clips the gradient; 0 where the step must not be taken
};

/// The rule for weights, and the one for biases and norms.
template <class Rule>
struct RulePair {
    Rule decayed, plain;
};

/// What changes from one step to the next. The host computes it for all steps of an epoch.
template <class S>
struct StepSettings {
    Index first_sample;  ///< of the batch, in the epoch's order
    std::uint64_t dropout_seed;
    S new_weight;  ///< 1 − decay of the moving averages
    RulePair<SgdRule<S>> sgd;
    RulePair<AdamWRule<S>> adamw;
    MuonRule<S> muon;
    LookaheadRule<S> lookahead;

    template <class Rule>
    BANTAM_HOST_DEVICE const RulePair<Rule>& rules() const {
        if constexpr (std::same_as<Rule, SgdRule<S>>)
            return sgd;
        else
            return adamw;
    }
    void set(const RulePair<SgdRule<S>>& rules) { sgd = rules; }
    void set(const RulePair<AdamWRule<S>>& rules) { adamw = rules; }
};

/// The state of training in the device's memory, which the host reads after an epoch or a step.
template <class S>
struct StepState {
    StepSettings<S> settings{};     ///< of the current step
    StepFigures figures{};          ///< of the current step
    double totals[loss_figures]{};  ///< of the steps taken
    Index begun = 0;                ///< steps begun
    Index refused = 0;              ///< the first step that was refused, from 1; no later step is taken
    bool refused_for_statistics = false;
};

namespace detail {

/// Loads the next step's settings (index 0) and keeps the statistics, one per index.
template <class S>
struct BeginStep {
    const StepSettings<S>* all;
    StepState<S>* state;
    Index count;
    const S* statistics;
    S* before;
    BANTAM_HOST_DEVICE void operator()(Index i) const {
        if (i == 0) state->settings = all[state->begun++];
        if (i < count) before[i] = statistics[i];
    }
};

/// Adds a step's figures to the totals.
template <class S>
struct AddFigures {
    StepState<S>* state;
    BANTAM_HOST_DEVICE void operator()(Index) const {
        for (Index i = 0; i < loss_figures; ++i) state->totals[i] += state->figures.loss[i];
    }
};

}  // namespace detail

}  // namespace bantam::cuda
