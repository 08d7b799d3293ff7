// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/cpu/block.hpp>
#include <bantam/cpu/chain.hpp>
#include <bantam/layers/squeeze_excite.hpp>

#include <algorithm>
#include <cstdint>

namespace bantam::cpu {

template <class... Ls, Shape Input, class S>
struct Operation<ChannelGate<Ls...>, Input, S> : OperationSizes {
    using Body = Chain<Sequence<Ls...>, Input, S>;
    static constexpr std::int64_t channels = Input.channels;
    static constexpr std::int64_t elements = element_count(Input);
    static constexpr std::int64_t packed = Body::packed;
    static constexpr std::int64_t scratch = Body::scratch;
    static constexpr std::int64_t partials = Body::partials;
    static constexpr std::int64_t sums = Body::sums;

    // Workspace: the gate, its gradient, the gradient that comes back through the body, the body's own.
    static constexpr std::int64_t saved_per_sample(bool training) {
        return channels + (training ? channels + elements : 0) + Body::saved_per_sample(training);
    }
    static constexpr std::int64_t saved_fixed(bool training) { return Body::saved_fixed(training); }

    static S* body_saved(const Pass<S>& pass, S* saved) {
        return saved + (channels + (pass.training ? channels + elements : 0)) * pass.count;
    }

    static void prepare(const S* parameters, S* panels) { Body::prepare(parameters, panels); }

    static void forward(const Pass<S>& pass, const Weights<S>& weights, const S* input, S* output, S* saved) {
        S* gate = saved;
        Body::forward(pass, weights, input, gate, body_saved(pass, saved));
        for_each_element(pass, [&]<int Width>(std::int64_t n, std::int64_t i, std::int64_t c) {
            store_block<S, Width>(output + i, load_block<S, Width>(input + i) *
                                                  load_block<S, Width>(gate + n * channels + c));
        });
    }

    static void backward(const Pass<S>& pass, const Weights<S>& weights, const S* input, S* saved,
                         const S* output_gradient, S* input_gradient, S* parameter_gradient) {
        const S* gate = saved;
        S* gate_gradient = saved + channels * pass.count;
        S* body_gradient = gate_gradient + channels * pass.count;
        std::fill(gate_gradient, gate_gradient + channels * pass.count, S{0});
        for_each_element(pass, [&]<int Width>(std::int64_t n, std::int64_t i, std::int64_t c) {
            S* sum = gate_gradient + n * channels + c;
            store_block<S, Width>(sum, load_block<S, Width>(sum) + load_block<S, Width>(output_gradient + i) *
                                                                       load_block<S, Width>(input + i));
        });
        Body::backward(pass, weights, input, body_saved(pass, saved), gate_gradient,
                       input_gradient ? body_gradient : nullptr, parameter_gradient);
        if (!input_gradient) return;
        for_each_element(pass, [&]<int Width>(std::int64_t n, std::int64_t i, std::int64_t c) {
            store_block<S, Width>(input_gradient + i,
                                  load_block<S, Width>(output_gradient + i) *
                                          load_block<S, Width>(gate + n * channels + c) +
                                      load_block<S, Width>(body_gradient + i));
        });
    }

    /// Calls `body.template operator()<Width>(sample, element, channel)` over the batch.
    template <class Visit>
    static void for_each_element(const Pass<S>& pass, Visit&& visit) {
        for_each_chunk(pass, [&](Chunk chunk, S*) {
            for (std::int64_t n = chunk.first; n < chunk.first + chunk.count; ++n)
                for (std::int64_t pixel = 0; pixel < pixel_count(Input); ++pixel)
                    for_each_block<S, channels>([&]<int Width>(std::int64_t c) {
                        visit.template operator()<Width>(n, (n * pixel_count(Input) + pixel) * channels + c, c);
                    });
        });
    }
};

}  // namespace bantam::cpu
