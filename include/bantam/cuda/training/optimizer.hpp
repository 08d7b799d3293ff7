// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/core/network.hpp>
#include <bantam/cuda/kernels/row_reduction.hpp>
#include <bantam/cuda/runtime/execution.hpp>
#include <bantam/cuda/runtime/operation.hpp>
#include <bantam/cuda/training/muon.hpp>
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
#include <optional>
#include <span>
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

/// 0 for a finite value, else NaN.
template <class S>
struct DifferenceToItself {
    const S* values;
    BANTAM_HOST_DEVICE double operator()(Index row, Index) const {
        return static_cast<double>(values[row]) - static_cast<double>(values[row]);
    }
};

/// Finds the factor that clips the gradient: 0 where loss, gradient or statistics are not finite, and in all later
/// steps. Adds the figures of a step that is taken to the totals.
template <class S>
struct FindScale {
    StepState<S>* state;
    Index count;  // samples of the batch
    double clip_norm;
    BANTAM_HOST_DEVICE void operator()(Index) const {
        StepFigures& figures = state->figures;
        const double norm = std::sqrt(figures.squared_norm);
        const bool has_loss = load_loss_sums(figures.loss).count == count;
        const bool sound_statistics = figures.statistics == 0;
        if (!(has_loss && sound_statistics && norm - norm == 0) && state->refused == 0) {
            state->refused = state->begun;
            state->refused_for_statistics = has_loss && !sound_statistics;
        }
        figures.scale = state->refused == 0 ? clip_factor(norm, clip_norm) : 0;
        if (state->refused == 0) AddFigures<S>{state}(0);
    }
};

/// How a parameter is stepped.
enum class StepKind : std::uint8_t { plain, decayed, in_matrix };

/// One parameter's step by `Rule`, and its average, where the step is taken and no other kernel takes it.
template <class Rule>
struct ParameterStep {
    using S = typename Rule::Scalar;
    static constexpr std::size_t state_count = Rule::state_names.size();

    const StepState<S>* state;
    const StepKind* kinds;
    const S* gradient;
    S *parameters, *average;  // average may be null
    S* rule_state[state_count];

    BANTAM_HOST_DEVICE void operator()(Index i) const {
        if (state->figures.scale > 0 && kinds[i] != StepKind::in_matrix)
            step(i, std::make_index_sequence<state_count>{});
    }

private:
    template <std::size_t... Buffer>
    BANTAM_HOST_DEVICE void step(Index i, std::index_sequence<Buffer...>) const {
        const StepSettings<S>& settings = state->settings;
        const RulePair<Rule>& rules = settings.template rules<Rule>();
        const Rule& rule = kinds[i] == StepKind::decayed ? rules.decayed : rules.plain;
        const S scaled = static_cast<S>(state->figures.scale) * gradient[i];
        const S value = rule(scaled, parameters[i], rule_state[Buffer][i]...);
        parameters[i] = value;
        if (average) average[i] = averaged(average[i], value, settings.new_weight);
    }
};

/// Lookahead's slow weight before its first step.
template <class S>
struct LookaheadStart {
    const StepState<S>* state;
    const S* parameters;
    S* slow;
    BANTAM_HOST_DEVICE void operator()(Index i) const {
        if (state->settings.lookahead.starts) slow[i] = parameters[i];
    }
};

/// One parameter after the optimizer's step, and its average, where the step is taken.
template <class S>
struct LookaheadStep {
    const StepState<S>* state;
    S *slow, *parameters, *average;  // average may be null
    BANTAM_HOST_DEVICE void operator()(Index i) const {
        if (!(state->figures.scale > 0)) return;
        const S value = state->settings.lookahead(parameters[i], slow[i]);
        parameters[i] = value;
        if (average) average[i] = averaged(average[i], value, state->settings.new_weight);
    }
};

/// The moving average of one statistic, where the step is taken; else the statistic becomes what it was.
template <class S>
struct FinishStatistics {
    const StepState<S>* state;
    const S* before;
    S *statistics, *average;  // average may be null
    BANTAM_HOST_DEVICE void operator()(Index i) const {
        if (!(state->figures.scale > 0))
            statistics[i] = before[i];
        else if (average)
            average[i] = averaged(average[i], statistics[i], state->settings.new_weight);
    }
};

}  // namespace detail

/// The optimizer that TrainingOptions choose, on the device: clipping, the optimizer's rule and the moving
/// average in one pass over the parameters. Muon's matrices and Lookahead have passes of their own.
template <class Net, class S>
class Optimizer {
public:
    static constexpr Index size = trainable_parameters<Net>;

    Optimizer(const Execution& execution, const TrainingOptions& options) : options_{options} {
        const bool muon = options.optimizer == OptimizerKind::muon;
        const std::vector<ParameterMatrix> matrices = muon ? parameter_matrices<Net>() : std::vector<ParameterMatrix>{};
        const std::vector<ParameterRange> ranges = parameter_ranges<Net>();
        std::vector<detail::StepKind> kinds(static_cast<std::size_t>(size), detail::StepKind::in_matrix);
        for (const ParameterRange& range :
             ranges_without(std::span<const ParameterRange>{ranges}, std::span<const ParameterMatrix>{matrices}))
            for (Index i = range.begin; i < range.end; ++i)
                kinds[static_cast<std::size_t>(i)] =
                    range.decayed ? detail::StepKind::decayed : detail::StepKind::plain;
        kinds_.reserve(size);
        copy_to_device(execution, kinds.data(), size, kinds_.data());
        if (muon) matrices_.emplace(execution, std::span<const ParameterMatrix>{matrices});
        if (lookahead_options(options)) slow_.reserve(size);
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
        if (matrices_) settings.muon = {muon_options(options_), update};
        if (const auto lookahead = lookahead_options(options_)) settings.lookahead = {*lookahead, step};
    }

    /// One step on a batch of `count` samples by the rules of `state->settings`, unless the figures of `state` or the
    /// network's `statistics` are not finite; the gradient is clipped here. `average` may be null.
    void step(const Execution& execution, StepState<S>* state, Index count, const S* gradient, const S* statistics,
              S* parameters, S* average) {
        if constexpr (non_trainable_parameters<Net> > 0)
            sum_over_rows(execution, non_trainable_parameters<Net>, 1, detail::DifferenceToItself<S>{statistics},
                          partials_.data(), &state->figures.statistics);
        sum_over_rows(execution, size, 1, detail::Square<S>{gradient}, partials_.data(), &state->figures.squared_norm);
        for_each_index(execution, 1, detail::FindScale<S>{state, count, options_.clip_norm});
        const bool lookahead = slow_.size() > 0;
        if (lookahead) for_each_index(execution, size, detail::LookaheadStart<S>{state, parameters, slow_.data()});
        step_optimizer(execution, state, gradient, parameters, lookahead ? nullptr : average);
        if (lookahead)
            for_each_index(execution, size, detail::LookaheadStep<S>{state, slow_.data(), parameters, average});
    }

    /// Steps taken; the caller counts them.
    Index steps() const { return steps_; }
    void set_steps(Index steps) { steps_ = steps; }

    /// The buffers that a checkpoint keeps: `values` are `size` scalars on the device.
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
        if (slow_.size() > 0) states.push_back({bantam::Lookahead<S>::state_name, slow_.data()});
        return states;
    }

private:
    void step_optimizer(const Execution& execution, const StepState<S>* state, const S* gradient, S* parameters,
                        S* average) {
        with_rule([&]<class Rule>(std::type_identity<Rule>, const typename Rule::Options&) {
            detail::ParameterStep<Rule> step{state, kinds_.data(), gradient, parameters, average, {}};
            for (std::size_t i = 0; i < rule_state_.size(); ++i) step.rule_state[i] = rule_state_[i].data();
            for_each_index(execution, size, step);
        });
        // Muon's momentum is AdamW's first moment.
        if (matrices_) matrices_->step(execution, state, gradient, rule_state_.front().data(), parameters, average);
    }

    template <class Body>
    void with_rule(const Body& body) const {
        with_optimizer_rule<S>(options_, body);
    }

    TrainingOptions options_;
    DeviceBuffer<detail::StepKind> kinds_;
    std::vector<DeviceBuffer<S>> rule_state_;
    std::optional<MuonMatrices<S>> matrices_;  // where the optimizer is Muon
    DeviceBuffer<S> slow_;                     // Lookahead's weights; empty without it
    DeviceBuffer<double> partials_;
    Index steps_ = 0;
};

}  // namespace bantam::cuda
