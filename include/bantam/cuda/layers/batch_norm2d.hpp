// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/align.hpp>
#include <bantam/base/index.hpp>
#include <bantam/core/sequence.hpp>
#include <bantam/cuda/kernels/batch_norm.hpp>
#include <bantam/cuda/kernels/batch_sums.hpp>
#include <bantam/cuda/kernels/norm_coefficients.hpp>
#include <bantam/cuda/kernels/row_reduction.hpp>
#include <bantam/cuda/runtime/operation.hpp>
#include <bantam/layers/batch_norm2d.hpp>

namespace bantam::cuda {

/// Batch norm fused with the activation behind it, or Identity. Backward needs the input only: it computes the
/// normalized value again.
template <class Act, Shape Input, class S>
struct BatchNormOperation : OperationSizes {
    static constexpr Index channels = Input.channels;

    static constexpr Index sum_count = 2 * channels;

    /// The NormCoefficients.
    static constexpr Index saved_fixed(bool) { return NormCoefficients<S>::count * storage_per_compute<S> * channels; }
    static NormCoefficients<S> coefficients_in(S* saved) { return {reinterpret_cast<Compute<S>*>(saved), channels}; }

    static void forward(const Pass<S>& pass, const Weights<S>& weights, const S* input, S* output, S* saved) {
        const Index rows = pass.count * pixel_count(Input);
        const NormCoefficients<S> coefficients = coefficients_in(saved);
        if (pass.training) {
            const S* origins = input;
            if (pass.ranks) {
                S* const first_row_of_batch = pass.ranks->row();
                copy_on_device(*pass.execution, input, pass.count > 0 ? channels : 0, first_row_of_batch);
                broadcast(*pass.execution, pass.ranks->communicator(), first_row_of_batch, channels);
                origins = first_row_of_batch;
            }
            reduce_rows(pass, rows, channels, MomentsTerm<S>{input, origins, channels}, pass.sums,
                        NormFromBatch<S, S>{static_cast<double>(pass.batch() * pixel_count(Input)), origins,
                                            weights.parameters, weights.statistics, coefficients});
        } else {
            for_each_index(pass, channels, NormFromRunning<S>{weights.statistics, weights.parameters, coefficients});
        }
        write_rows(pass, rows, channels, NormActColumns<Act, S>{input, coefficients}, output);
    }

    static void backward(const Pass<S>& pass, const Weights<S>&, const S* input, S* saved, const S* output_gradient,
                         S* input_gradient, Compute<S>* parameter_gradient) {
        const Index rows = pass.count * pixel_count(Input);
        const NormCoefficients<S> coefficients = coefficients_in(saved);
        reduce_rows(pass, rows, channels, NormGradientTerm<Act, S>{input, output_gradient, coefficients}, pass.sums,
                    NormBackwardCoefficients<S>{static_cast<double>(pass.batch() * pixel_count(Input)), coefficients,
                                                parameter_gradient});
        if (input_gradient)
            write_rows(pass, rows, channels, NormBackwardColumns<Act, S>{input, output_gradient, coefficients},
                       input_gradient);
    }
};

template <Shape Input, class S>
struct Operation<BatchNorm2d, Input, S> : BatchNormOperation<Identity, Input, S> {};

}  // namespace bantam::cuda
