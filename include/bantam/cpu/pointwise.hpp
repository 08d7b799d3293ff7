// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/cpu/matrix_product.hpp>
#include <bantam/cpu/operation.hpp>

#include <algorithm>
#include <cstdint>

namespace bantam::cpu {

/// Adds the bias [channels] to every one of `rows` rows.
template <class S>
void add_bias(std::int64_t rows, std::int64_t channels, const S* bias, S* values) {
    for (std::int64_t row = 0; row < rows; ++row)
        for (std::int64_t c = 0; c < channels; ++c) values[row * channels + c] += bias[c];
}

/// sums[channel] += Σ of `rows` rows.
template <class S>
void add_row_sums(std::int64_t rows, std::int64_t channels, const S* values, S* sums) {
    for (std::int64_t row = 0; row < rows; ++row)
        for (std::int64_t c = 0; c < channels; ++c) sums[c] += values[row * channels + c];
}

/// Y[rows×Out] = X[rows×In] · Wᵀ + b at every position: pointwise convolution and linear layers.
template <std::int64_t Positions, std::int64_t In, std::int64_t Out, bool WithBias, class S>
struct PointwiseOperation : OperationSizes {
    static constexpr std::int64_t weight_count = In * Out;
    static constexpr std::int64_t forward_panels = packed_size<S>(In, Out);
    static constexpr std::int64_t packed = forward_panels + packed_size<S>(Out, In);
    static constexpr std::int64_t scratch = transposed_scratch<S>;
    static constexpr std::int64_t partials = weight_count + (WithBias ? Out : 0);

    static void prepare(const S* parameters, S* panels) {
        pack_panels<S>(In, Out, parameters, 1, In, panels);
        pack_panels<S>(Out, In, parameters, In, 1, panels + forward_panels);
    }

    static void forward(const Pass<S>& pass, const Weights<S>& weights, const S* input, S* output, S*) {
        for_each_chunk(pass, [&](Chunk chunk, S*) {
            const std::int64_t rows = chunk.count * Positions;
            S* out = output + chunk.first * Positions * Out;
            multiply<false>(rows, Out, In, input + chunk.first * Positions * In, In, weights.packed, out, Out);
            if constexpr (WithBias) add_bias(rows, Out, weights.parameters + weight_count, out);
        });
    }

    static void backward(const Pass<S>& pass, const Weights<S>& weights, const S* input, const S*,
                         const S* output_gradient, S* input_gradient, S* parameter_gradient) {
        for_each_chunk(pass, [&](Chunk chunk, S* scratch) {
            const std::int64_t rows = chunk.count * Positions;
            const S* gradient = output_gradient + chunk.first * Positions * Out;
            S* partial = pass.partials + chunk.index * partials;
            std::fill(partial, partial + partials, S{0});
            multiply_transposed(Out, In, rows, gradient, Out, input + chunk.first * Positions * In, In, partial, In,
                                scratch);
            if constexpr (WithBias) add_row_sums(rows, Out, gradient, partial + weight_count);
            if (input_gradient)
                multiply<false>(rows, In, Out, gradient, Out, weights.packed + forward_panels,
                                input_gradient + chunk.first * Positions * In, In);
        });
        finish_gradient(pass, parameter_gradient);
    }

    /// Joins the chunks' partial sums.
    static void finish_gradient(const Pass<S>& pass, S* parameter_gradient) {
        add_partials(pass, pass.partials, partials, partials, parameter_gradient);
    }
};

}  // namespace bantam::cpu
