// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/cuda/matrix_product.hpp>
#include <bantam/cuda/operation.hpp>

#include <cstdint>

namespace bantam::cuda {

namespace detail {

template <std::int64_t Channels, class S>
struct AddBias {
    const Arithmetic<S>* bias;
    S* values;
    BANTAM_HOST_DEVICE void operator()(std::int64_t i) const { values[i] = S(values[i] + bias[i % Channels]); }
};

}  // namespace detail

/// values[row, c] += bias[c]
template <std::int64_t Channels, class S>
void add_bias(const Pass<S>& pass, std::int64_t rows, const Arithmetic<S>* bias, S* values) {
    for_each_index(pass, rows * Channels, detail::AddBias<Channels, S>{bias, values});
}

/// gradient[c] = Σ over rows of dL/d(output); takes `sums` of `Channels` doubles.
template <std::int64_t Channels, class S>
void bias_gradient(const Pass<S>& pass, std::int64_t rows, const S* output_gradient, Arithmetic<S>* gradient) {
    sum_over_rows(pass, rows, Channels, detail::RowElement<S>{output_gradient, Channels}, pass.sums, gradient);
}

/// Y[rows×Out] = X[rows×In] · Wᵀ + b at every position: pointwise convolution and linear layers.
template <std::int64_t Positions, std::int64_t In, std::int64_t Out, bool WithBias, class S>
struct PointwiseOperation : OperationSizes {
    static constexpr std::int64_t weight_count = In * Out;
    static constexpr std::int64_t scratch = factor_scratch<S>(weight_count);
    static constexpr std::int64_t sums = WithBias ? Out : 0;

    static void forward(const Pass<S>& pass, const Weights<S>& weights, const S* input, S* output, S*) {
        const std::int64_t rows = pass.count * Positions;
        const S* factor = as_factor(pass, weight_count, weights.parameters);
        multiply<S>(pass, rows, Out, In, {input, In}, {factor, In, Transposed::yes}, output, Out);
        if constexpr (WithBias) add_bias<Out>(pass, rows, weights.parameters + weight_count, output);
    }
    static void backward(const Pass<S>& pass, const Weights<S>& weights, const S* input, const S*,
                         const S* output_gradient, S* input_gradient, Arithmetic<S>* parameter_gradient) {
        const std::int64_t rows = pass.count * Positions;
        multiply<S>(pass, Out, In, rows, {output_gradient, Out, Transposed::yes}, {input, In}, parameter_gradient, In);
        if constexpr (WithBias) bias_gradient<Out>(pass, rows, output_gradient, parameter_gradient + weight_count);
        if (!input_gradient) return;
        const S* factor = as_factor(pass, weight_count, weights.parameters);
        multiply<S>(pass, rows, In, Out, {output_gradient, Out}, {factor, In}, input_gradient, In);
    }
};

}  // namespace bantam::cuda
