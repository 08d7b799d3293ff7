// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/cuda/activations.hpp>
#include <bantam/cuda/operation.hpp>
#include <bantam/device/batch_norm_channel.hpp>
#include <bantam/layers/batch_norm2d.hpp>

#include <cstdint>

namespace bantam::cuda {

namespace detail {

/// x − origin and its square: no cancellation where a channel lies far from zero.
template <class S>
struct Moments {
    const S* input;
    std::int64_t channels;
    BANTAM_HOST_DEVICE Values<Arithmetic<S>, 2> operator()(std::int64_t row, std::int64_t c) const {
        const Arithmetic<S> difference = input[row * channels + c] - input[c];
        return {{difference, difference * difference}};
    }
};

/// The coefficients of a batch norm [mean, 1 / √(variance + ε), scale, shift, slope, offset][channels].
template <class S>
struct NormCoefficients {
    Arithmetic<S>* values;
    std::int64_t channels;
    BANTAM_HOST_DEVICE device::BatchNormChannel<Arithmetic<S>> at(std::int64_t c) const {
        return {values + c, values + channels + c, values + 2 * channels + c, values + 3 * channels + c};
    }
    BANTAM_HOST_DEVICE Arithmetic<S>& slope(std::int64_t c) const { return values[4 * channels + c]; }
    BANTAM_HOST_DEVICE Arithmetic<S>& offset(std::int64_t c) const { return values[5 * channels + c]; }
};

template <class S>
struct NormFromBatch {
    const double* moments;
    double count;
    const S* input;
    const Arithmetic<S>* parameters;
    Arithmetic<S>* statistics;
    NormCoefficients<S> coefficients;
    BANTAM_HOST_DEVICE void operator()(std::int64_t c) const {
        const std::int64_t channels = coefficients.channels;
        const auto channel = coefficients.at(c);
        channel.from_batch(moments[c], moments[channels + c], count, input[c], statistics[c], statistics[channels + c]);
        channel.find_scale(parameters[c], parameters[channels + c]);
    }
};

template <class S>
struct NormFromRunning {
    const Arithmetic<S> *statistics, *parameters;
    NormCoefficients<S> coefficients;
    BANTAM_HOST_DEVICE void operator()(std::int64_t c) const {
        const std::int64_t channels = coefficients.channels;
        const auto channel = coefficients.at(c);
        channel.from_running(statistics[c], statistics[channels + c]);
        channel.find_scale(parameters[c], parameters[channels + c]);
    }
};

template <class S>
struct NormWayBack {
    const double* sums;
    double count;
    NormCoefficients<S> coefficients;
    Arithmetic<S>* parameter_gradient;
    BANTAM_HOST_DEVICE void operator()(std::int64_t c) const {
        const std::int64_t channels = coefficients.channels;
        coefficients.at(c).way_back(sums[c], sums[channels + c], count, parameter_gradient[c],
                                    parameter_gradient[channels + c], coefficients.slope(c), coefficients.offset(c));
    }
};

/// One channel's outputs.
template <class Act, class S>
struct NormalisedColumn {
    const S* input;
    std::int64_t channels;
    Arithmetic<S> scale, shift;
    BANTAM_HOST_DEVICE Arithmetic<S> operator()(std::int64_t row) const {
        return ActivationArithmetic<Act>::value(input[row * channels] * scale + shift);
    }
};
template <class Act, class S>
struct Normalise {
    const S* input;
    NormCoefficients<S> coefficients;
    BANTAM_HOST_DEVICE NormalisedColumn<Act, S> operator()(std::int64_t c) const {
        const auto channel = coefficients.at(c);
        return {input + c, coefficients.channels, *channel.scale, *channel.shift};
    }
};

/// The gradient with respect to the normalised value, g, and g · (x − mean).
template <class Act, class S>
struct NormGradientTerm {
    const S *input, *output_gradient;
    NormCoefficients<S> coefficients;
    BANTAM_HOST_DEVICE Values<Arithmetic<S>, 2> operator()(std::int64_t row, std::int64_t c) const {
        const auto channel = coefficients.at(c);
        const std::int64_t i = row * coefficients.channels + c;
        const Arithmetic<S> x = input[i];
        const Arithmetic<S> gradient =
            output_gradient[i] * ActivationArithmetic<Act>::derivative(x * *channel.scale + *channel.shift);
        return {{gradient, gradient * (x - *channel.mean)}};
    }
};

/// One channel's dL/dx = scale · g + slope · x + offset.
template <class Act, class S>
struct NormGradientColumn {
    const S *input, *output_gradient;
    std::int64_t channels;
    Arithmetic<S> scale, shift, slope, offset;
    BANTAM_HOST_DEVICE Arithmetic<S> operator()(std::int64_t row) const {
        const Arithmetic<S> x = input[row * channels];
        const Arithmetic<S> gradient =
            output_gradient[row * channels] * ActivationArithmetic<Act>::derivative(x * scale + shift);
        return gradient * scale + x * slope + offset;
    }
};
template <class Act, class S>
struct NormInputGradient {
    const S *input, *output_gradient;
    NormCoefficients<S> coefficients;
    BANTAM_HOST_DEVICE NormGradientColumn<Act, S> operator()(std::int64_t c) const {
        const auto channel = coefficients.at(c);
        return {input + c,        output_gradient + c,   coefficients.channels,  *channel.scale,
                *channel.shift,   coefficients.slope(c), coefficients.offset(c)};
    }
};

}  // namespace detail

/// Batch norm and the activation behind it in one go; `Act` is Identity where none follows. Only the input is
/// needed on the way back: the normalised value is computed again, not stored.
template <class Act, Shape Input, class S>
struct BatchNormOperation : OperationSizes {
    static constexpr std::int64_t channels = Input.channels;

    /// Two sums a channel, and their parts.
    static constexpr std::int64_t sums = 3 * channels;

    /// Mean, 1 / √(variance + ε), scale, shift, and on the way back slope and offset.
    static constexpr std::int64_t saved_fixed(bool) { return 6 * device::scalars_a_number<S> * channels; }
    static detail::NormCoefficients<S> coefficients_in(S* saved) {
        return {reinterpret_cast<Arithmetic<S>*>(saved), channels};
    }

    static void forward(const Pass<S>& pass, const Weights<S>& weights, const S* input, S* output, S* saved) {
        const std::int64_t rows = pass.count * pixel_count(Input);
        const detail::NormCoefficients<S> coefficients = coefficients_in(saved);
        if (pass.training) {
            double* moments = pass.sums;
            sum_over_rows(pass, rows, channels, detail::Moments<S>{input, channels}, moments + 2 * channels, moments);
            for_each_index(pass, channels,
                           detail::NormFromBatch<S>{moments, static_cast<double>(rows), input, weights.parameters,
                                                    weights.statistics, coefficients});
        } else {
            for_each_index(pass, channels,
                           detail::NormFromRunning<S>{weights.statistics, weights.parameters, coefficients});
        }
        write_rows(pass, rows, channels, detail::Normalise<Act, S>{input, coefficients}, output);
    }

    static void backward(const Pass<S>& pass, const Weights<S>&, const S* input, S* saved, const S* output_gradient,
                         S* input_gradient, Arithmetic<S>* parameter_gradient) {
        const std::int64_t rows = pass.count * pixel_count(Input);
        const detail::NormCoefficients<S> coefficients = coefficients_in(saved);
        double* totals = pass.sums;
        sum_over_rows(pass, rows, channels,
                      detail::NormGradientTerm<Act, S>{input, output_gradient, coefficients}, totals + 2 * channels,
                      totals);
        for_each_index(pass, channels,
                       detail::NormWayBack<S>{totals, static_cast<double>(rows), coefficients, parameter_gradient});
        if (input_gradient)
            write_rows(pass, rows, channels,
                       detail::NormInputGradient<Act, S>{input, output_gradient, coefficients}, input_gradient);
    }
};

template <Shape Input, class S>
struct Operation<BatchNorm2d, Input, S> : BatchNormOperation<Identity, Input, S> {};

}  // namespace bantam::cuda
