// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/bfloat16.hpp>
#include <bantam/base/host_device.hpp>
#include <bantam/base/index.hpp>
#include <bantam/exec/batch_norm_math.hpp>

namespace bantam::cuda {

/// What a batch norm comes to, for every channel: [mean, 1 / √(variance + ε), scale, shift, slope, offset][channels].
/// Forward y = x · scale + shift; on the way back dL/dx = scale · g + slope · x + offset.
template <class S>
struct NormCoefficients {
    using Number = Compute<S>;
    Number* values;
    Index channels;

    static constexpr Index count = 6;  ///< numbers a channel
    BANTAM_HOST_DEVICE exec::BatchNormChannel<Number> at(Index c) const {
        return {values + c, values + channels + c, values + 2 * channels + c, values + 3 * channels + c};
    }
    BANTAM_HOST_DEVICE const Number* mean() const { return values; }
    BANTAM_HOST_DEVICE const Number* scale() const { return values + 2 * channels; }
    BANTAM_HOST_DEVICE const Number* shift() const { return values + 3 * channels; }
    BANTAM_HOST_DEVICE Number* slope() const { return values + 4 * channels; }
    BANTAM_HOST_DEVICE Number* offset() const { return values + 5 * channels; }
};

/// Takes a channel's Σ(x − origin) and Σ(x − origin)² of a batch to its coefficients, and moves the running
/// statistics. `origins` may be the running means.
template <class S, class Origin>
struct NormFromBatch {
    double count;
    const Origin* origins;
    const Compute<S>* parameters;
    Compute<S>* statistics;
    NormCoefficients<S> coefficients;
    template <class Total>
    BANTAM_HOST_DEVICE void operator()(Index, Index c, const Total* moments) const {
        const Index channels = coefficients.channels;
        const auto channel = coefficients.at(c);
        const Compute<S> origin = origins[c];
        channel.from_batch(moments[0], moments[1], count, origin, statistics[c], statistics[channels + c]);
        channel.find_scale(parameters[c], parameters[channels + c]);
    }
};

/// The coefficients of inference.
template <class S>
struct NormFromRunning {
    const Compute<S>*statistics, *parameters;
    NormCoefficients<S> coefficients;
    BANTAM_HOST_DEVICE void operator()(Index c) const {
        const Index channels = coefficients.channels;
        const auto channel = coefficients.at(c);
        channel.from_running(statistics[c], statistics[channels + c]);
        channel.find_scale(parameters[c], parameters[channels + c]);
    }
};

/// Takes a channel's Σg and Σg · (x − mean) to its coefficients on the way back and its parameters' gradients.
template <class S>
struct NormBackwardCoefficients {
    double count;
    NormCoefficients<S> coefficients;
    Compute<S>* parameter_gradient;
    template <class Total>
    BANTAM_HOST_DEVICE void operator()(Index, Index c, const Total* sums) const {
        coefficients.at(c).backward_coefficients(sums[0], sums[1], count, parameter_gradient[c],
                                                 parameter_gradient[coefficients.channels + c], coefficients.slope()[c],
                                                 coefficients.offset()[c]);
    }
};

}  // namespace bantam::cuda
