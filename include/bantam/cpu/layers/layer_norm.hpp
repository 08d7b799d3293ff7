// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/cpu/runtime/operation.hpp>
#include <bantam/cpu/runtime/packet.hpp>
#include <bantam/layers/layer_norm.hpp>

#include <algorithm>
#include <cmath>

namespace bantam::cpu {

template <Shape Input, class S>
struct Operation<LayerNorm, Input, S> : OperationSizes {
    static constexpr Index channels = Input.channels;
    static constexpr Index partial_size = 2 * channels;
    using Row = Eigen::Array<S, static_cast<int>(channels), 1>;
    using ConstRow = Eigen::Map<const Row>;

    /// The row with mean 0 and variance 1, and 1 / √(variance + ε).
    static S normalize(const S* input, Row& normalized) {
        normalized = ConstRow(input);
        normalized -= normalized.mean();
        const S inverse = S(1) / std::sqrt(normalized.square().mean() + S(LayerNorm::epsilon));
        normalized *= inverse;
        return inverse;
    }

    static void forward(const Pass<S>& pass, const Weights<S>& weights, const S* input, S* output, S*) {
        const ConstRow weight(weights.parameters);
        const ConstRow bias(weights.parameters + channels);
        for_each_chunk(pass, [&](Chunk chunk, S*) {
            const Index begin = chunk.first * pixel_count(Input);
            Row normalized;
            for (Index row = begin; row < begin + chunk.count * pixel_count(Input); ++row) {
                normalize(input + row * channels, normalized);
                Eigen::Map<Row>(output + row * channels) = normalized * weight + bias;
            }
        });
    }

    static void backward(const Pass<S>& pass, const Weights<S>& weights, const S* input, S*, const S* output_gradient,
                         S* input_gradient, S* parameter_gradient) {
        const ConstRow weight(weights.parameters);
        for_each_chunk(pass, [&](Chunk chunk, S*) {
            const Index begin = chunk.first * pixel_count(Input);
            Eigen::Map<Row> weight_gradient(pass.partials + chunk.index * partial_size);
            Eigen::Map<Row> bias_gradient(pass.partials + chunk.index * partial_size + channels);
            weight_gradient.setZero();
            bias_gradient.setZero();
            Row normalized, scaled;
            for (Index row = begin; row < begin + chunk.count * pixel_count(Input); ++row) {
                const S inverse = normalize(input + row * channels, normalized);
                const ConstRow gradient(output_gradient + row * channels);
                weight_gradient += gradient * normalized;
                bias_gradient += gradient;
                if (!input_gradient) continue;
                scaled = gradient * weight;
                const S mean = scaled.mean();
                const S slope = (scaled * normalized).mean();
                Eigen::Map<Row>(input_gradient + row * channels) = (scaled - mean - normalized * slope) * inverse;
            }
        });
        add_gradient_partials(pass, partial_size, parameter_gradient);
    }
};

}  // namespace bantam::cpu
