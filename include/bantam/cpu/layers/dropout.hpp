// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/base/random.hpp>
#include <bantam/cpu/runtime/operation.hpp>
#include <bantam/layers/dropout.hpp>

#include <algorithm>

namespace bantam::cpu {

template <auto Percent, Shape Input, class S>
struct Operation<Dropout<Percent>, Input, S> : OperationSizes {
    /// to = from · mask. The mask depends only on seed, layer and position in the batch, so that backward draws the
    /// same one.
    static void drop(const Pass<S>& pass, const S* from, S* to) {
        constexpr double probability = Dropout<Percent>::probability;
        for_each_chunk(pass, [&](Chunk chunk, S*) {
            const Index end = (chunk.first + chunk.count) * element_count(Input);
            const Index before = pass.samples_before * element_count(Input);
            for (Index i = chunk.first * element_count(Input); i < end; ++i) {
                const auto position = static_cast<std::uint64_t>(before + i);
                const bool kept = random_uniform(pass.seed, pass.stream, position) >= probability;
                to[i] = kept ? from[i] * S(1 / (1 - probability)) : S{0};
            }
        });
    }

    static void forward(const Pass<S>& pass, const Weights<S>&, const S* input, S* output, S*) {
        if (pass.training)
            drop(pass, input, output);
        else
            std::copy(input, input + pass.count * element_count(Input), output);
    }
    static void backward(const Pass<S>& pass, const Weights<S>&, const S*, const S*, const S* output_gradient,
                         S* input_gradient, S*) {
        if (input_gradient) drop(pass, output_gradient, input_gradient);
    }
};

}  // namespace bantam::cpu
