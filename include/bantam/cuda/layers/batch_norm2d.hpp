// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/cuda/kernels/norm_coefficients.hpp>
#include <bantam/cuda/runtime/operation.hpp>
#include <bantam/exec/activation_functions.hpp>
#include <bantam/layers/batch_norm2d.hpp>

namespace bantam::cuda {

namespace detail {

/// x − origin and its square: no cancellation where a channel lies far from zero.
template <class S>
struct Moments {
    const S* input;
    Index channels;
    BANTAM_HOST_DEVICE Values<Compute<S>, 2> operator()(Index row, Index c) const {
        const Compute<S> difference = input[row * channels + c] - input[c];
        return {{difference, difference * difference}};
    }
};

/// One channel's outputs.
template <class Act, class S>
struct NormalizedColumn {
    const S* input;
    Index channels;
    Compute<S> scale, shift;
    BANTAM_HOST_DEVICE Compute<S> operator()(Index row) const {
        return exec::ActivationFunction<Act>::value(input[row * channels] * scale + shift);
    }
};
template <class Act, class S>
struct Normalize {
    const S* input;
    NormCoefficients<S> coefficients;
    BANTAM_HOST_DEVICE NormalizedColumn<Act, S> operator()(Index c) const {
        const auto channel = coefficients.at(c);
        return {input + c, coefficients.channels, *channel.scale, *channel.shift};
    }
};

/// The gradient with respect to the normalized value, g, and g · (x − mean). `Pixels` rows of x share a row of the
/// output's gradient evenly, as behind a global average.
template <class Act, class S, Index Pixels = 1>
struct NormGradientTerm {
    const S *input, *output_gradient;
    NormCoefficients<S> coefficients;
    BANTAM_HOST_DEVICE Values<Compute<S>, 2> operator()(Index row, Index c) const {
        using Number = Compute<S>;
        const auto channel = coefficients.at(c);
        const Number x = input[row * coefficients.channels + c];
        const Number gradient = output_gradient[row / Pixels * coefficients.channels + c] *
                                exec::ActivationFunction<Act>::derivative(x * *channel.scale + *channel.shift) *
                                Number(1.0 / static_cast<double>(Pixels));
        return {{gradient, gradient * (x - *channel.mean)}};
    }
};

/// One channel's dL/dx = scale · g + slope · x + offset.
template <class Act, class S>
struct NormGradientColumn {
    const S *input, *output_gradient;
    Index channels;
    Compute<S> scale, shift, slope, offset;
    BANTAM_HOST_DEVICE Compute<S> operator()(Index row) const {
        const Compute<S> x = input[row * channels];
        const Compute<S> gradient =
            output_gradient[row * channels] * exec::ActivationFunction<Act>::derivative(x * scale + shift);
        return gradient * scale + x * slope + offset;
    }
};
template <class Act, class S>
struct NormInputGradient {
    const S *input, *output_gradient;
    NormCoefficients<S> coefficients;
    BANTAM_HOST_DEVICE NormGradientColumn<Act, S> operator()(Index c) const {
        const auto channel = coefficients.at(c);
        return {input + c,      output_gradient + c,     coefficients.channels,   *channel.scale,
                *channel.shift, coefficients.slope()[c], coefficients.offset()[c]};
    }
};

}  // namespace detail

/// Batch norm and the activation behind it in one go; `Act` is Identity where none follows. Only the input is
/// needed on the way back: the normalized value is computed again, not stored.
template <class Act, Shape Input, class S>
struct BatchNormOperation : OperationSizes {
    static constexpr Index channels = Input.channels;

    static constexpr Index sum_count = 2 * channels;

    /// Mean, 1 / √(variance + ε), scale, shift, and on the way back slope and offset.
    static constexpr Index saved_fixed(bool) {
        return NormCoefficients<S>::count * exec::storage_per_compute<S> * channels;
    }
    static NormCoefficients<S> coefficients_in(S* saved) { return {reinterpret_cast<Compute<S>*>(saved), channels}; }

    static void forward(const Pass<S>& pass, const Weights<S>& weights, const S* input, S* output, S* saved) {
        const Index rows = pass.count * pixel_count(Input);
        const NormCoefficients<S> coefficients = coefficients_in(saved);
        if (pass.training)
            finish_rows(*pass.execution, rows, channels, detail::Moments<S>{input, channels}, pass.sums,
                        NormFromBatch<S, S>{static_cast<double>(rows), input, weights.parameters, weights.statistics,
                                            coefficients});
        else
            for_each_index(pass, channels, NormFromRunning<S>{weights.statistics, weights.parameters, coefficients});
        write_rows(pass, rows, channels, detail::Normalize<Act, S>{input, coefficients}, output);
    }

    static void backward(const Pass<S>& pass, const Weights<S>&, const S* input, S* saved, const S* output_gradient,
                         S* input_gradient, Compute<S>* parameter_gradient) {
        const Index rows = pass.count * pixel_count(Input);
        const NormCoefficients<S> coefficients = coefficients_in(saved);
        finish_rows(*pass.execution, rows, channels,
                    detail::NormGradientTerm<Act, S>{input, output_gradient, coefficients}, pass.sums,
                    NormBackwardCoefficients<S>{static_cast<double>(rows), coefficients, parameter_gradient});
        if (input_gradient)
            write_rows(pass, rows, channels, detail::NormInputGradient<Act, S>{input, output_gradient, coefficients},
                       input_gradient);
    }
};

template <Shape Input, class S>
struct Operation<BatchNorm2d, Input, S> : BatchNormOperation<Identity, Input, S> {};

}  // namespace bantam::cuda
