// SPDX-License-Identifier: MIT
#pragma once

#include "docs/layers/learned_scale.hpp"

#include <bantam/cpu/runtime/operation.hpp>

#include <algorithm>

template <bantam::Shape Input, class S>
struct bantam::cpu::Operation<LearnedScale, Input, S> : OperationSizes {
    static constexpr Index channels = Input.channels;
    static constexpr Index partial_size = channels;  // one sum per channel, for each chunk of samples

    static void forward(const Pass<S>& pass, const Weights<S>& weights, const S* input, S* output, S* /*saved*/) {
        for_each_chunk(pass, [&](Chunk chunk, S* /*scratch*/) {
            const Index begin = chunk.first * pixel_count(Input);
            for (Index row = begin; row < begin + chunk.count * pixel_count(Input); ++row)
                for (Index c = 0; c < channels; ++c)
                    output[row * channels + c] = weights.parameters[c] * input[row * channels + c];
        });
    }

    static void backward(const Pass<S>& pass, const Weights<S>& weights, const S* input, const S* /*saved*/,
                         const S* output_gradient, S* input_gradient, S* parameter_gradient) {
        for_each_chunk(pass, [&](Chunk chunk, S* /*scratch*/) {
            S* partial = pass.partials + chunk.index * partial_size;
            std::fill(partial, partial + partial_size, S{0});
            const Index begin = chunk.first * pixel_count(Input);
            for (Index row = begin; row < begin + chunk.count * pixel_count(Input); ++row)
                for (Index c = 0; c < channels; ++c) {
                    const Index i = row * channels + c;
                    partial[c] += output_gradient[i] * input[i];
                    if (input_gradient) input_gradient[i] = output_gradient[i] * weights.parameters[c];
                }
        });
        // The chunks are added in a fixed order: the same bits for any number of threads.
        add_partials(pass, pass.partials, partial_size, partial_size, parameter_gradient);
    }
};
