// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/error.hpp>
#include <bantam/base/index.hpp>
#include <bantam/base/parallel_for.hpp>
#include <bantam/train/averaging.hpp>
#include <bantam/train/optimizers/parameter_range.hpp>
#include <bantam/train/optimizers/update.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace bantam {

namespace detail {

inline void require_buffer(const char* what, std::size_t found, Index expected) {
    if (found != static_cast<std::size_t>(expected))
        throw Error(std::string("optimizer: the ") + what + " buffer has " + std::to_string(found) +
                    " elements, expected " + std::to_string(expected) +
                    "; make optimizer and network from the same type");
}

}  // namespace detail

/// An optimizer on the CPU: applies `Rule` to every parameter and keeps the rule's state, one buffer
/// [parameter_count] for each of `Rule::state_names`. See SgdRule for what a rule is.
template <class Rule>
class RuleOptimizer {
public:
    using Scalar = typename Rule::Scalar;
    using Options = typename Rule::Options;

    /// `ranges` cover the parameter buffer [parameter_count]; throws Error where they do not. The elements of
    /// `left_out`, which lie in order, are left to another optimizer.
    RuleOptimizer(const Options& options, std::span<const ParameterRange> ranges, Index parameter_count,
                  std::span<const ParameterMatrix> left_out = {})
        : options_{options},
          ranges_{ranges_without(joined_ranges(ranges, parameter_count), left_out)},
          parameter_count_{parameter_count} {
        for (std::vector<Scalar>& buffer : state_) buffer.resize(static_cast<std::size_t>(parameter_count));
    }

    /// One step, in one pass over memory. `gradient`, `parameters` and `average` are
    /// [parameter_count]; an empty `average` keeps no moving average. Throws Error on another size.
    void step(const Update& update, std::span<const Scalar> gradient, std::span<Scalar> parameters,
              std::span<Scalar> average = {}) {
        detail::require_buffer("gradient", gradient.size(), parameter_count_);
        detail::require_buffer("parameter", parameters.size(), parameter_count_);
        if (!average.empty()) detail::require_buffer("average", average.size(), parameter_count_);
        ++steps_;
        const Rule decayed{options_, update, true, steps_};
        const Rule plain{options_, update, false, steps_};
        const auto new_weight = static_cast<Scalar>(1.0 - update.averaging_decay);
        for (const ParameterRange& range : ranges_) {
            // Fixed chunks: neither they nor the ends of their vector loops depend on the thread count, so the
            // bits do not either.
            constexpr Index chunk_size = 16384;
            const Index chunks = (range.end - range.begin + chunk_size - 1) / chunk_size;
            parallel_for(chunks, update.threads, [&](Index chunk, int) {
                const Index begin = range.begin + chunk * chunk_size;
                const Index end = std::min(begin + chunk_size, range.end);
                step_chunk(range.decayed ? decayed : plain, new_weight, end - begin, gradient.data() + begin,
                           parameters.data() + begin, average.empty() ? nullptr : average.data() + begin, begin,
                           std::make_index_sequence<state_count>{});
            });
        }
    }

    /// Steps taken so far; a checkpoint keeps it with state().
    Index steps() const { return steps_; }
    void set_steps(Index steps) { steps_ = steps; }

    /// The named buffers a checkpoint keeps, each [parameter_count], writable to restore them.
    std::vector<OptimizerState<Scalar>> state() {
        std::vector<OptimizerState<Scalar>> buffers;
        for (std::size_t index = 0; index < state_count; ++index)
            buffers.push_back({Rule::state_names[index], state_[index]});
        return buffers;
    }

private:
    static constexpr std::size_t state_count = Rule::state_names.size();

    template <std::size_t... Buffer>
    void step_chunk(const Rule& rule, Scalar new_weight, Index count, const Scalar* gradient, Scalar* parameters,
                    Scalar* average, Index begin, std::index_sequence<Buffer...>) {
        step_all(rule, new_weight, count, gradient, parameters, average, (state_[Buffer].data() + begin)...);
    }

    // `rule` by value: memory that the loop writes to cannot alias it.
    template <class... State>
    static void step_all(const Rule rule, Scalar new_weight, Index count, const Scalar* __restrict gradient,
                         Scalar* __restrict parameters, Scalar* __restrict average, State* __restrict... state) {
        const auto step_one = [=](Index index) {
            return parameters[index] = rule(gradient[index], parameters[index], state[index]...);
        };
        if (average == nullptr) {
            for (Index index = 0; index < count; ++index) step_one(index);
        } else {
            for (Index index = 0; index < count; ++index)
                average[index] = averaged(average[index], step_one(index), new_weight);
        }
    }

    Options options_;
    std::vector<ParameterRange> ranges_;
    Index parameter_count_;
    std::array<std::vector<Scalar>, state_count> state_;
    Index steps_ = 0;
};

}  // namespace bantam
