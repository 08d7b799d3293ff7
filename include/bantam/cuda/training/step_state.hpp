// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/host_device.hpp>
#include <bantam/base/index.hpp>
#include <bantam/train/adamw.hpp>
#include <bantam/train/losses.hpp>
#include <bantam/train/sgd.hpp>

#include <cstdint>

namespace bantam::cuda {

enum LossFigure : Index { total, cross_entropy, distillation, labeled, correct, taught, agree, broken };
/// How many figures of `LossFigure` there are.
inline constexpr Index loss_figures = 8;

/// What a step finds out.
struct StepFigures {
    double loss[loss_figures];  ///< sums over the samples, in the order of `LossFigure`
    double squared_norm;        ///< of the gradient
    double scale;               ///< that clips it; 0 where the step must not be taken
};

/// What changes from one step to the next, as the host has worked it out.
template <class S>
struct StepSettings {
    Index first_sample;  ///< of the batch, in the epoch's order
    std::uint64_t dropout_seed;
    S toward;  ///< part of the way that the averages go to the new weights
    SgdRule<S> sgd_decayed, sgd_plain;
    AdamWRule<S> adamw_decayed, adamw_plain;
};

/// Where training stands between two looks of the host at the device's memory.
template <class S>
struct StepState {
    StepSettings<S> settings{};     ///< of the running step
    StepFigures figures{};          ///< likewise
    double totals[loss_figures]{};  ///< of the steps taken
    Index begun = 0;                ///< steps
    Index refused = 0;              ///< the first step that had to be refused, from 1; none is taken after it
};

namespace detail {

/// Moves on to the next step's settings.
template <class S>
struct BeginStep {
    const StepSettings<S>* all;
    StepState<S>* state;
    BANTAM_HOST_DEVICE void operator()(Index) const { state->settings = all[state->begun++]; }
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

/// Sums over `count` samples as the CPU gives them.
inline LossSums loss_sums(const double (&figures)[loss_figures], Index count) {
    const auto whole = [&](LossFigure figure) { return static_cast<Index>(figures[figure]); };
    return {.loss = figures[total],
            .cross_entropy = figures[cross_entropy],
            .distillation = figures[distillation],
            .count = count,
            .labeled = whole(labeled),
            .correct = whole(correct),
            .with_teacher = whole(taught),
            .agree = whole(agree)};
}

}  // namespace bantam::cuda
