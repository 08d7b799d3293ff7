// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/cuda/kernels/layer_norm.hpp>
#include <bantam/cuda/runtime/operation.hpp>
#include <bantam/layers/layer_norm.hpp>

#include <cmath>

namespace bantam::cuda {

template <Shape Input, class S>
struct Operation<LayerNorm, Input, S> : OperationSizes {
    using Number = Compute<S>;
    static constexpr Index channels = Input.channels;
    static constexpr Index sum_count = 2 * channels;

    using ForwardInBlocks = detail::LayerNormForward<channels, S>;
    using BackwardInBlocks = detail::LayerNormBackward<channels, S>;
    static constexpr bool in_blocks = detail::RowGroups<channels>::fit;

    /// Mean and 1 / √(variance + ε) of every row: for the way back, and by element on the way there.
    static constexpr Index saved_per_sample(bool training) {
        return training || !in_blocks ? 2 * exec::storage_per_compute<S> * pixel_count(Input) : 0;
    }

    struct Statistics {
        const S* input;
        Number* saved;
        BANTAM_HOST_DEVICE void operator()(Index row) const {
            const S* x = input + row * channels;
            Number mean{};
            for (Index c = 0; c < channels; ++c) mean += x[c];
            mean /= Number(channels);
            Number variance{};
            for (Index c = 0; c < channels; ++c) variance += (x[c] - mean) * (x[c] - mean);
            saved[2 * row] = mean;
            saved[2 * row + 1] = Number(1) / std::sqrt(variance / Number(channels) + Number(LayerNorm::epsilon));
        }
    };
    struct Normalize {
        const S* input;
        const Number *parameters, *saved;
        S* output;
        BANTAM_HOST_DEVICE void operator()(Index i) const {
            const Index row = i / channels, c = i % channels;
            const Number normalized = (input[i] - saved[2 * row]) * saved[2 * row + 1];
            output[i] = S(normalized * parameters[c] + parameters[channels + c]);
        }
    };
    /// What an element adds to the gradients of weight and bias.
    struct ParameterTerm {
        const S *input, *output_gradient;
        const Number* saved;
        BANTAM_HOST_DEVICE Values<Number, 2> operator()(Index row, Index c) const {
            const Index i = row * channels + c;
            const Number gradient = output_gradient[i];
            return {{gradient * (input[i] - saved[2 * row]) * saved[2 * row + 1], gradient}};
        }
    };
    struct InputGradient {
        const S *input, *output_gradient;
        const Number *parameters, *saved;
        S* input_gradient;
        BANTAM_HOST_DEVICE void operator()(Index row) const {
            const Number mean = saved[2 * row], inverse = saved[2 * row + 1];
            const S *x = input + row * channels, *gradient = output_gradient + row * channels;
            Number sum{}, slope{};
            for (Index c = 0; c < channels; ++c) {
                const Number scaled = gradient[c] * parameters[c];
                sum += scaled;
                slope += scaled * (x[c] - mean) * inverse;
            }
            sum /= Number(channels);
            slope /= Number(channels);
            for (Index c = 0; c < channels; ++c)
                input_gradient[row * channels + c] =
                    S((gradient[c] * parameters[c] - sum - (x[c] - mean) * inverse * slope) * inverse);
        }
    };

    static void forward(const Pass<S>& pass, const Weights<S>& weights, const S* input, S* output, S* saved) {
        auto* statistics = reinterpret_cast<Number*>(saved);
        if constexpr (in_blocks) {
            const ForwardInBlocks kernel{input, weights.parameters, output, pass.training ? statistics : nullptr,
                                         rows(pass)};
            run_blocks(pass, kernel.blocks(), kernel);
        } else {
            forward_by_element(pass, weights.parameters, input, output, statistics);
        }
    }
    static void backward(const Pass<S>& pass, const Weights<S>& weights, const S* input, const S* saved,
                         const S* output_gradient, S* input_gradient, Number* parameter_gradient) {
        const auto* statistics = reinterpret_cast<const Number*>(saved);
        if constexpr (in_blocks) {
            const auto kernel = BackwardInBlocks::of(rows(pass), input, output_gradient, weights.parameters, statistics,
                                                     input_gradient, pass.sums);
            run_blocks(pass, kernel.parts(), kernel);
            sum_slices(*pass.execution, kernel.parts(), 2 * channels, pass.sums, parameter_gradient);
        } else {
            parameter_gradient_by_element(pass, input, statistics, output_gradient, parameter_gradient);
            if (input_gradient)
                input_gradient_by_element(pass, weights.parameters, input, statistics, output_gradient, input_gradient);
        }
    }

    // The same with one thread a row or an element: for rows that are too long for blocks, and what blocks are
    // held against.

    static Index rows(const Pass<S>& pass) { return pass.count * pixel_count(Input); }
    static void forward_by_element(const Pass<S>& pass, const Number* parameters, const S* input, S* output,
                                   Number* statistics) {
        for_each_index(pass, rows(pass), Statistics{input, statistics});
        for_each_index(pass, rows(pass) * channels, Normalize{input, parameters, statistics, output});
    }
    static void input_gradient_by_element(const Pass<S>& pass, const Number* parameters, const S* input,
                                          const Number* statistics, const S* output_gradient, S* input_gradient) {
        for_each_index(pass, rows(pass), InputGradient{input, output_gradient, parameters, statistics, input_gradient});
    }
    static void parameter_gradient_by_element(const Pass<S>& pass, const S* input, const Number* statistics,
                                              const S* output_gradient, Number* parameter_gradient) {
        sum_over_rows_by_element(*pass.execution, rows(pass), channels,
                                 ParameterTerm{input, output_gradient, statistics}, pass.sums, parameter_gradient);
    }
};

}  // namespace bantam::cuda
