// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/cpu/block.hpp>
#include <bantam/cpu/operation.hpp>
#include <bantam/layers/layer_norm.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace bantam::cpu {

template <Shape Input, class S>
struct Operation<LayerNorm, Input, S> : OperationSizes {
    static constexpr std::int64_t channels = Input.channels;
    static constexpr std::int64_t partials = 2 * channels;
    using Row = Eigen::Array<S, static_cast<int>(channels), 1>;
    using ConstRow = Eigen::Map<const Row>;

    /// The row with mean 0 and variance 1, and 1 / √(variance + ε).
    static S normalise(const S* input, Row& normalised) {
        normalised = ConstRow(input);
        normalised -= normalised.mean();
        const S inverse = S(1) / std::sqrt(normalised.square().mean() + S(LayerNorm::epsilon));
        normalised *= inverse;
        return inverse;
    }

    static void forward(const Pass<S>& pass, const Weights<S>& weights, const S* input, S* output, S*) {
        const ConstRow weight(weights.parameters);
        const ConstRow bias(weights.parameters + channels);
        for_each_chunk(pass, [&](Chunk chunk, S*) {
            const std::int64_t begin = chunk.first * pixel_count(Input);
            Row normalised;
            for (std::int64_t row = begin; row < begin + chunk.count * pixel_count(Input); ++row) {
                normalise(input + row * channels, normalised);
                Eigen::Map<Row>(output + row * channels) = normalised * weight + bias;
            }
        });
    }

    static void backward(const Pass<S>& pass, const Weights<S>& weights, const S* input, S*,
                         const S* output_gradient, S* input_gradient, S* parameter_gradient) {
        const ConstRow weight(weights.parameters);
        for_each_chunk(pass, [&](Chunk chunk, S*) {
            const std::int64_t begin = chunk.first * pixel_count(Input);
            Eigen::Map<Row> weight_gradient(pass.partials + chunk.index * partials);
            Eigen::Map<Row> bias_gradient(pass.partials + chunk.index * partials + channels);
            weight_gradient.setZero();
            bias_gradient.setZero();
            Row normalised, scaled;
            for (std::int64_t row = begin; row < begin + chunk.count * pixel_count(Input); ++row) {
                const S inverse = normalise(input + row * channels, normalised);
                const ConstRow gradient(output_gradient + row * channels);
                weight_gradient += gradient * normalised;
                bias_gradient += gradient;
                if (!input_gradient) continue;
                scaled = gradient * weight;
                const S mean = scaled.mean();
                const S slope = (scaled * normalised).mean();
                Eigen::Map<Row>(input_gradient + row * channels) = (scaled - mean - normalised * slope) * inverse;
            }
        });
        add_partials(pass, pass.partials, partials, partials, parameter_gradient);
    }
};

}  // namespace bantam::cpu
