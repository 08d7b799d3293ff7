// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/align.hpp>
#include <bantam/base/bfloat16.hpp>
#include <bantam/base/index.hpp>
#include <bantam/core/network.hpp>
#include <bantam/exec/operation.hpp>
#include <bantam/exec/random_stream.hpp>
#include <bantam/exec/workspace.hpp>
#include <bantam/layers/repeat.hpp>

#include <array>
#include <cstddef>

namespace bantam::exec {

/// Runs one chain several times on the same weights. Each run saves in a place of its own for backward, and has random
/// streams of its own. The runs' gradients of the weights are added, from the last run to the first.
template <class Backend, int Count, class... Ls, Shape Input, class S>
struct Operation<Backend, Repeat<Count, Ls...>, Input, S> : OperationSizes {
    using Pass = typename Backend::template Pass<S>;
    using Weights = typename Backend::template Weights<S>;
    using Body = typename Repeat<Count, Ls...>::Body;
    using BodyChain = typename Backend::template Chain<Body, Input, S>;
    static constexpr Index trainable = trainable_parameters<Part<Body, Input>>;
    static constexpr std::size_t runs = Count;

    static constexpr Index packed_size = packed_size_of<BodyChain>;
    static constexpr Index scratch_size = BodyChain::scratch_size;
    static constexpr Index partial_size = BodyChain::partial_size;
    static constexpr Index sum_count = BodyChain::sum_count;
    static constexpr int stream_digits = step_digits(runs - 1) + BodyChain::stream_digits;
    static_assert(runs <= max_children, "too many runs for distinct random streams");

    // Regions. In training each run keeps its output and what it saves; two maps hold the gradients between the runs in
    // turn. In inference the two hold the maps between the runs, which save in one place.
    static constexpr std::size_t output_region(std::size_t run) { return run; }
    static constexpr std::size_t saved_region(std::size_t run) { return runs + run; }
    static constexpr std::size_t alternating_region(std::size_t run) { return 2 * runs + run % 2; }
    static constexpr std::size_t gradient_region = 2 * runs + 2;  // of the weights, in one run

    static constexpr auto workspace = make_workspace<S>([](bool training) {
        std::array<RegionSize, 2 * runs + 3> regions{};
        for (std::size_t run = 0; run < runs; ++run) {
            // The last output is the caller's.
            if (training && run + 1 < runs) regions[output_region(run)].per_sample = element_count(Input);
            if (training || run == 0) regions[saved_region(run)] = saved_size<BodyChain>(training);
        }
        for (std::size_t i = 0; i + 1 < runs && i < 2; ++i)
            regions[alternating_region(i)].per_sample = element_count(Input);
        if (training && runs > 1) regions[gradient_region].fixed = storage_per_compute<S> * trainable;
        return regions;
    });
    static constexpr Index saved_per_sample(bool training) { return workspace.per_sample(training); }
    static constexpr Index saved_fixed(bool training) { return workspace.fixed(training); }

    static Pass pass_at(const Pass& pass, std::size_t run) { return with_stream(pass, child_stream(pass.stream, run)); }
    static S* output_at(const Pass& pass, std::size_t run, S* saved) {
        return workspace.at(pass.training ? output_region(run) : alternating_region(run), pass, saved);
    }

    static void prepare(const S* parameters, S* packed) { BodyChain::prepare(parameters, packed); }

    static void forward(const Pass& pass, const Weights& weights, const S* input, S* output, S* saved) {
        for (std::size_t run = 0; run < runs; ++run)
            BodyChain::forward(pass_at(pass, run), weights, run == 0 ? input : output_at(pass, run - 1, saved),
                               run + 1 == runs ? output : output_at(pass, run, saved),
                               workspace.at(saved_region(pass.training ? run : 0), pass, saved));
    }

    template <class InputGradient>
    static void backward(const Pass& pass, const Weights& weights, const S* input, S* saved, const S* output_gradient,
                         InputGradient input_gradient, Compute<S>* parameter_gradient) {
        auto* const of_run = reinterpret_cast<Compute<S>*>(workspace.at(gradient_region, pass, saved));
        const auto gradient_at = [&](std::size_t run) { return workspace.at(alternating_region(run), pass, saved); };
        const auto step = [&](std::size_t run, auto run_input_gradient) {
            const bool last = run + 1 == runs;
            BodyChain::backward(pass_at(pass, run), weights, run == 0 ? input : output_at(pass, run - 1, saved),
                                workspace.at(saved_region(run), pass, saved), last ? output_gradient : gradient_at(run),
                                run_input_gradient, last ? parameter_gradient : of_run);
            if (!last && trainable > 0) Backend::add_gradients(pass, trainable, of_run, parameter_gradient);
        };
        for (std::size_t run = runs; --run > 0;) step(run, gradient_at(run - 1));
        step(0, input_gradient);
    }
};

}  // namespace bantam::exec
