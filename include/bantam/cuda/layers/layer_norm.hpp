// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/align.hpp>
#include <bantam/base/index.hpp>
#include <bantam/cuda/kernels/batch_sums.hpp>
#include <bantam/cuda/kernels/layer_norm.hpp>
#include <bantam/cuda/runtime/operation.hpp>
#include <bantam/layers/layer_norm.hpp>

#include <cmath>

namespace bantam::cuda {

/// Rows of up to 4096 channels are normalized by groups of threads, longer ones by one thread per row.
template <Shape Input, class S>
struct Operation<LayerNorm, Input, S> : OperationSizes {
    using ComputeType = Compute<S>;
    static constexpr Index channels = Input.channels;
    static constexpr Index sum_count = 2 * channels;

    using GroupForward = detail::LayerNormForward<LayerNorm, channels, S>;
    using GroupBackward = detail::LayerNormBackward<channels, S>;
    static constexpr bool fit = detail::RowGroups<channels>::fit;

    /// Mean and 1 / √(variance + ε) of every row, for backward; one thread per row also needs them forward.
    static constexpr Index saved_per_sample(bool training) {
        return training || !fit ? 2 * storage_per_compute<S> * pixel_count(Input) : 0;
    }

    static void forward(const Pass<S>& pass, const Weights<S>& weights, const S* input, S* output, S* saved) {
        auto* statistics = reinterpret_cast<ComputeType*>(saved);
        if constexpr (fit) {
            const GroupForward kernel{input, weights.parameters, output, pass.training ? statistics : nullptr,
                                      rows(pass)};
            run_blocks(pass, kernel.blocks(), kernel);
        } else {
            forward_by_row(pass, weights.parameters, input, output, statistics);
        }
    }
    static void backward(const Pass<S>& pass, const Weights<S>& weights, const S* input, const S* saved,
                         const S* output_gradient, S* input_gradient, ComputeType* parameter_gradient) {
        const auto* statistics = reinterpret_cast<const ComputeType*>(saved);
        if constexpr (fit) {
            const BatchSlices slices = BatchSlices::of(pass.part(), pixel_count(Input), GroupBackward::rows_per_step);
            run_blocks(pass, slices.count(),
                       GroupBackward{input, output_gradient, weights.parameters, statistics, input_gradient, pass.sums,
                                     slices});
            sum_slices(pass, slices.count(), 2 * channels, pass.sums, parameter_gradient);
        } else {
            parameter_gradient_by_row(pass, input, statistics, output_gradient, parameter_gradient);
            if (input_gradient)
                input_gradient_by_row(pass, weights.parameters, input, statistics, output_gradient, input_gradient);
        }
    }

    static Index rows(const Pass<S>& pass) { return pass.count * pixel_count(Input); }

    // ------------------------------------------------------------------------------ one thread per row

    struct Statistics {
        const S* input;
        ComputeType* saved;
        BANTAM_HOST_DEVICE void operator()(Index row) const {
            const S* x = input + row * channels;
            ComputeType mean{};
            for (Index c = 0; c < channels; ++c) mean += x[c];
            mean /= ComputeType(channels);
            ComputeType variance{};
            for (Index c = 0; c < channels; ++c) variance += (x[c] - mean) * (x[c] - mean);
            saved[2 * row] = mean;
            saved[2 * row + 1] =
                ComputeType(1) / std::sqrt(variance / ComputeType(channels) + ComputeType(LayerNorm::epsilon));
        }
    };
    struct Normalize {
        const S* input;
        const ComputeType *parameters, *saved;
        S* output;
        BANTAM_HOST_DEVICE void operator()(Index i) const {
            const Index row = i / channels, c = i % channels;
            const ComputeType normalized = (input[i] - saved[2 * row]) * saved[2 * row + 1];
            output[i] = S(normalized * parameters[c] + parameters[channels + c]);
        }
    };
    /// The terms of the gradients of weight and bias.
    struct ParameterTerm {
        const S *input, *output_gradient;
        const ComputeType* saved;
        BANTAM_HOST_DEVICE Values<ComputeType, 2> operator()(Index row, Index c) const {
            const Index i = row * channels + c;
            const ComputeType gradient = output_gradient[i];
            return {{gradient * (input[i] - saved[2 * row]) * saved[2 * row + 1], gradient}};
        }
    };
    struct InputGradient {
        const S *input, *output_gradient;
        const ComputeType *parameters, *saved;
        S* input_gradient;
        BANTAM_HOST_DEVICE void operator()(Index row) const {
            const ComputeType mean = saved[2 * row], inverse = saved[2 * row + 1];
            const S *x = input + row * channels, *gradient = output_gradient + row * channels;
            ComputeType sum{}, dot{};
            for (Index c = 0; c < channels; ++c) {
                const ComputeType scaled = gradient[c] * parameters[c];
                sum += scaled;
                dot += scaled * (x[c] - mean) * inverse;
            }
            sum /= ComputeType(channels);
            dot /= ComputeType(channels);
            for (Index c = 0; c < channels; ++c)
                input_gradient[row * channels + c] =
                    S((gradient[c] * parameters[c] - sum - (x[c] - mean) * inverse * dot) * inverse);
        }
    };

    static void forward_by_row(const Pass<S>& pass, const ComputeType* parameters, const S* input, S* output,
                               ComputeType* statistics) {
        for_each_index(pass, rows(pass), Statistics{input, statistics});
        for_each_index(pass, rows(pass) * channels, Normalize{input, parameters, statistics, output});
    }
    static void input_gradient_by_row(const Pass<S>& pass, const ComputeType* parameters, const S* input,
                                      const ComputeType* statistics, const S* output_gradient, S* input_gradient) {
        for_each_index(pass, rows(pass), InputGradient{input, output_gradient, parameters, statistics, input_gradient});
    }
    static void parameter_gradient_by_row(const Pass<S>& pass, const S* input, const ComputeType* statistics,
                                          const S* output_gradient, ComputeType* parameter_gradient) {
        sum_over_rows(pass, rows(pass), channels, ParameterTerm{input, output_gradient, statistics}, pass.sums,
                      parameter_gradient);
    }
};

}  // namespace bantam::cuda
