// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/core/network.hpp>
#include <bantam/cuda/runtime/execution.hpp>
#include <bantam/cuda/runtime/operation.hpp>
#include <bantam/cuda/training/step_state.hpp>
#include <bantam/train/adamw.hpp>
#include <bantam/train/options.hpp>
#include <bantam/train/parameter_range.hpp>
#include <bantam/train/sgd.hpp>
#include <bantam/train/update.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace bantam::cuda {

namespace detail {

template <class S>
struct Square {
    const S* values;
    BANTAM_HOST_DEVICE double operator()(Index row, Index) const {
        return static_cast<double>(values[row]) * static_cast<double>(values[row]);
    }
};

/// The factor that clips the gradient, as bantam::clip_scale; 0 where loss or gradient is not finite, and
/// ever after. Figures of steps that are taken count.
template <class S>
struct FindScale {
    StepState<S>* state;
    double clip_norm;
    BANTAM_HOST_DEVICE void operator()(Index) const {
        StepFigures& figures = state->figures;
        const double norm = std::sqrt(figures.squared_norm);
        const bool usable = figures.loss[broken] == 0 && norm - norm == 0;
        if (!usable && state->refused == 0) state->refused = state->begun;
        const double clipped = clip_norm > 0 && clip_norm < norm + 1e-6 ? clip_norm / (norm + 1e-6) : 1;
        figures.scale = state->refused == 0 ? clipped : 0;
        if (state->refused == 0) AddFigures<S>{state}(0);
    }
};

/// What both rules share: a parameter's place, its gradient scaled, its average.
template <class S>
struct ParameterStep {
    const StepState<S>* state;
    const std::uint8_t* decayed;
    const S* gradient;
    S *parameters, *average;  // average may be null
    BANTAM_HOST_DEVICE bool taken() const { return state->figures.scale > 0; }
    BANTAM_HOST_DEVICE S scaled(Index i) const { return static_cast<S>(state->figures.scale) * gradient[i]; }
    BANTAM_HOST_DEVICE void set(Index i, S value) const {
        parameters[i] = value;
        if (average) average[i] += state->settings.toward * (value - average[i]);
    }
};

template <class S>
struct SgdStep {
    ParameterStep<S> step;
    S* momentum;
    BANTAM_HOST_DEVICE void operator()(Index i) const {
        if (!step.taken()) return;
        const auto& settings = step.state->settings;
        const SgdRule<S>& rule = step.decayed[i] ? settings.sgd_decayed : settings.sgd_plain;
        step.set(i, rule(step.scaled(i), step.parameters[i], momentum[i]));
    }
};

template <class S>
struct AdamWStep {
    ParameterStep<S> step;
    S *first_moment, *second_moment;
    BANTAM_HOST_DEVICE void operator()(Index i) const {
        if (!step.taken()) return;
        const auto& settings = step.state->settings;
        const AdamWRule<S>& rule = step.decayed[i] ? settings.adamw_decayed : settings.adamw_plain;
        step.set(i, rule(step.scaled(i), step.parameters[i], first_moment[i], second_moment[i]));
    }
};

/// average += toward · (value − average), where the step was taken.
template <class S>
struct AverageStep {
    const StepState<S>* state;
    const S* values;
    S* average;
    BANTAM_HOST_DEVICE void operator()(Index i) const {
        if (state->figures.scale > 0) average[i] += state->settings.toward * (values[i] - average[i]);
    }
};

}  // namespace detail

/// Clipping, the optimizer's rule and the average of the weights in one pass over the parameters.
template <class Net, class S>
class Optimizer {
public:
    static constexpr Index size = trainable_parameters<Net>;

    Optimizer(const Execution& execution, const TrainingOptions& options) : options_{options} {
        std::vector<std::uint8_t> decayed(static_cast<std::size_t>(size));
        for (const ParameterRange& range : parameter_ranges<Net>())
            for (Index i = range.begin; i < range.end; ++i) decayed[static_cast<std::size_t>(i)] = range.decayed;
        decayed_.reserve(size);
        copy_to_device(execution, decayed.data(), size, decayed_.data());
        partials_.reserve(max_slices);
        first_.reserve(size);
        if (options.optimizer == OptimizerKind::adamw) second_.reserve(size);
    }

    /// The rules that an update amounts to at step `step`, counted from 1, and the averages' part of the way.
    void set_rules(const Update& update, Index step, StepSettings<S>& settings) const {
        const SgdOptions sgd{
            .momentum = options_.momentum, .weight_decay = options_.weight_decay, .nesterov = options_.momentum > 0.0};
        const AdamWOptions adamw{.beta1 = options_.beta1,
                                 .beta2 = options_.beta2,
                                 .epsilon = options_.epsilon,
                                 .weight_decay = options_.weight_decay};
        settings.toward = static_cast<S>(1.0 - update.averaging_decay);
        settings.sgd_decayed = {sgd, update, true};
        settings.sgd_plain = {sgd, update, false};
        settings.adamw_decayed = {adamw, update, true, step};
        settings.adamw_plain = {adamw, update, false, step};
    }

    /// One step by the rules of `state->settings`, unless its figures tell that none must be taken; the
    /// gradient is clipped here. `average` may be null.
    void step(const Execution& execution, StepState<S>* state, const S* gradient, S* parameters, S* average) {
        sum_over_rows(execution, size, 1, detail::Square<S>{gradient}, partials_.data(), &state->figures.squared_norm);
        for_each_index(execution, 1, detail::FindScale<S>{state, options_.clip_norm});
        const detail::ParameterStep<S> own{state, decayed_.data(), gradient, parameters, average};
        if (options_.optimizer == OptimizerKind::sgd)
            for_each_index(execution, size, detail::SgdStep<S>{own, first_.data()});
        else
            for_each_index(execution, size, detail::AdamWStep<S>{own, first_.data(), second_.data()});
    }

    /// Steps taken, which the caller counts.
    Index steps() const { return steps_; }
    void set_steps(Index steps) { steps_ = steps; }

    struct State {
        const char* name;
        S* values;
    };
    /// The memory that a checkpoint keeps, each `size` scalars on the device.
    std::vector<State> state() {
        if (options_.optimizer == OptimizerKind::sgd) return {{"momentum", first_.data()}};
        return {{"first_moment", first_.data()}, {"second_moment", second_.data()}};
    }

private:
    TrainingOptions options_;
    DeviceBuffer<std::uint8_t> decayed_;
    DeviceBuffer<S> first_, second_;
    DeviceBuffer<double> partials_;
    Index steps_ = 0;
};

}  // namespace bantam::cuda
