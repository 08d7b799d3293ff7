// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/cpu/runtime/operation.hpp>
#include <bantam/exec/math.hpp>
#include <bantam/layers/softmax.hpp>

#include <algorithm>

namespace bantam::cpu {

template <Shape Input, class S>
struct Operation<Softmax, Input, S> : OperationSizes {
    static constexpr Index channels = Input.channels;

    /// The softmax of one position. The largest channel is subtracted first, so that no power overflows.
    static void softmax(const S* from, S* to) {
        const S largest = *std::max_element(from, from + channels);
        S sum{};
        for (Index c = 0; c < channels; ++c) {
            to[c] = exec::Math<S>::exp(from[c] - largest);
            sum += to[c];
        }
        for (Index c = 0; c < channels; ++c) to[c] /= sum;
    }

    /// Calls `body(first element)` for each position of a chunk.
    template <class Body>
    static void for_each_position(const Pass<S>& pass, const Body& body) {
        for_each_chunk(pass, [&](Chunk chunk, S*) {
            const Index end = (chunk.first + chunk.count) * element_count(Input);
            for (Index i = chunk.first * element_count(Input); i < end; i += channels) body(i);
        });
    }

    static void forward(const Pass<S>& pass, const Weights<S>&, const S* input, S* output, S*) {
        for_each_position(pass, [&](Index i) { softmax(input + i, output + i); });
    }

    static void backward(const Pass<S>& pass, const Weights<S>&, const S* input, const S*, const S* output_gradient,
                         S* input_gradient, S*) {
        if (!input_gradient) return;
        for_each_position(pass, [&](Index i) {
            // dL/dx = p · (dL/dp − Σ p · dL/dp)
            S* const p = input_gradient + i;
            softmax(input + i, p);
            S dot{};
            for (Index c = 0; c < channels; ++c) dot += p[c] * output_gradient[i + c];
            for (Index c = 0; c < channels; ++c) p[c] *= output_gradient[i + c] - dot;
        });
    }
};

}  // namespace bantam::cpu
