// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/core/network.hpp>
#include <bantam/cuda/kernels/row_reduction.hpp>
#include <bantam/cuda/runtime/execution.hpp>
#include <bantam/cuda/runtime/operation.hpp>
#include <bantam/cuda/training/step_state.hpp>
#include <bantam/train/averaging.hpp>
#include <bantam/train/clipping.hpp>
#include <bantam/train/optimizers/optimizer.hpp>
#include <bantam/train/optimizers/parameter_range.hpp>
#include <bantam/train/optimizers/update.hpp>
#include <bantam/train/options.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>
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

/// Finds the factor that clips the gradient: 0 where loss or gradient is not finite, and in all later steps.
/// Adds the figures of a step that is taken to the totals.
template <class S>
struct FindScale {
    StepState<S>* state;
    Index count;  // samples of the batch
    double clip_norm;
    BANTAM_HOST_DEVICE void operator()(Index) const {
        StepFigures& figures = state->figures;
        const double norm = std::sqrt(figures.squared_norm);
        const bool finite = load_loss_sums(figures.loss).count == count && norm - norm == 0;
        if (!finite && state->refused == 0) state->refused = state->begun;
        figures.scale = state->refused == 0 ? clip_factor(norm, clip_norm) : 0;
        if (state->refused == 0) AddFigures<S>{state}(0);
    }
};

/// One parameter's step by `Rule`, and its average, where the step is taken.
template <class Rule>
struct ParameterStep {
    using S = typename Rule::Scalar;
    static constexpr std::size_t state_count = Rule::state_names.size();

    const StepState<S>* state;
    const std::uint8_t* decayed;
    const S* gradient;
    S *parameters, *average;  // average may be null
    S* rule_state[state_count];

    BANTAM_HOST_DEVICE void operator()(Index i) const {
        if (state->figures.scale > 0) step(i, std::make_index_sequence<state_count>{});
    }

private:
    template <std::size_t... Buffer>
    BANTAM_HOST_DEVICE void step(Index i, std::index_sequence<Buffer...>) const {
        const StepSettings<S>& settings = state->settings;
        const Rule& rule = decayed[i] ? settings.template rules<Rule>().decayed : settings.template rules<Rule>().plain;
        const S scaled = static_cast<S>(state->figures.scale) * gradient[i];
        const S value = rule(scaled, parameters[i], rule_state[Buffer][i]...);
        parameters[i] = value;
        if (average) average[i] = averaged(average[i], value, settings.new_weight);
    }
};

/// The moving average of one value, where the step is taken.
template <class S>
struct AverageStep {
    const StepState<S>* state;
    const S* values;
    S* average;
    BANTAM_HOST_DEVICE void operator()(Index i) const {
        if (state->figures.scale > 0) average[i] = averaged(average[i], values[i], state->settings.new_weight);
    }
};

}  // namespace detail

/// The optimizer that TrainingOptions choose, on the device: clipping, the optimizer's rule and the moving
/// average in one pass over the parameters.
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
        with_rule([&]<class Rule>(std::type_identity<Rule>, const typename Rule::Options&) {
            rule_state_ = std::vector<DeviceBuffer<S>>(Rule::state_names.size());
        });
        for (DeviceBuffer<S>& buffer : rule_state_) buffer.reserve(size);
    }

    /// Writes the rules of step `step`, counted from 1, and the averages' weight to `settings`.
    void set_rules(const Update& update, Index step, StepSettings<S>& settings) const {
        settings.new_weight = static_cast<S>(1.0 - update.averaging_decay);
        with_rule([&]<class Rule>(std::type_identity<Rule>, const typename Rule::Options& options) {
            settings.set(RulePair<Rule>{{options, update, true, step}, {options, update, false, step}});
        });
    }

    /// One step on a batch of `count` samples by the rules of `state->settings`, unless the figures of `state` are
    /// not finite; the gradient is clipped here. `average` may be null.
    void step(const Execution& execution, StepState<S>* state, Index count, const S* gradient, S* parameters,
              S* average) {
        sum_over_rows(execution, size, 1, detail::Square<S>{gradient}, partials_.data(), &state->figures.squared_norm);
        for_each_index(execution, 1, detail::FindScale<S>{state, count, options_.clip_norm});
        with_rule([&]<class Rule>(std::type_identity<Rule>, const typename Rule::Options&) {
            detail::ParameterStep<Rule> step{state, decayed_.data(), gradient, parameters, average, {}};
            for (std::size_t i = 0; i < rule_state_.size(); ++i) step.rule_state[i] = rule_state_[i].data();
            for_each_index(execution, size, step);
        });
    }

    /// Steps taken; the caller counts them.
    Index steps() const { return steps_; }
    void set_steps(Index steps) { steps_ = steps; }

    /// The rule's buffers that a checkpoint keeps: `values` are `size` scalars on the device.
    struct State {
        const char* name;
        S* values;
    };
    std::vector<State> state() {
        std::vector<State> states;
        with_rule([&]<class Rule>(std::type_identity<Rule>, const typename Rule::Options&) {
            for (std::size_t i = 0; i < rule_state_.size(); ++i)
                states.push_back({Rule::state_names[i], rule_state_[i].data()});
        });
        return states;
    }

private:
    template <class Body>
    void with_rule(const Body& body) const {
        with_optimizer_rule<S>(options_, body);
    }

    TrainingOptions options_;
    DeviceBuffer<std::uint8_t> decayed_;
    std::vector<DeviceBuffer<S>> rule_state_;
    DeviceBuffer<double> partials_;
    Index steps_ = 0;
};

}  // namespace bantam::cuda
