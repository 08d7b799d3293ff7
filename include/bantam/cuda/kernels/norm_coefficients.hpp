// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/bfloat16.hpp>
#include <bantam/base/host_device.hpp>
#include <bantam/base/index.hpp>
#include <bantam/exec/batch_norm_math.hpp>

namespace bantam::cuda {

/// The coefficients of a batch norm, stored as [mean, 1 / √(variance + ε), scale, shift, slope, offset][channels].
/// Forward: y = scale · x + shift. Backward: dL/dx = scale · dL/dy + slope · x + offset.
template <class S>
struct NormCoefficients {
    using ComputeType = Compute<S>;
    static constexpr Index count = 6;  ///< scalars per channel

    ComputeType* values;
    Index channels;

    BANTAM_HOST_DEVICE exec::BatchNormChannel<ComputeType> at(Index c) const {
        return {values + c, values + channels + c, values + 2 * channels + c, values + 3 * channels + c};
    }
    BANTAM_HOST_DEVICE const ComputeType* mean() const { return values; }
    BANTAM_HOST_DEVICE const ComputeType* scale() const { return values + 2 * channels; }
    BANTAM_HOST_DEVICE const ComputeType* shift() const { return values + 3 * channels; }
    BANTAM_HOST_DEVICE ComputeType* slope() const { return values + 4 * channels; }
    BANTAM_HOST_DEVICE ComputeType* offset() const { return values + 5 * channels; }
};

// The first two below are what a row reduction does with its sums: store(slice, channel, sums). They are not inlined,
// since several kernels call them, and must get the same bits: those of one process and of several ranks.

/// Computes a channel's coefficients from Σ(x − origin) and Σ(x − origin)² over a batch, and updates the running
/// statistics. `origins` may be the running means.
template <class S, class Origin>
struct NormFromBatch {
    double count;
    const Origin* origins;
    const Compute<S>* parameters;
    Compute<S>* statistics;
    NormCoefficients<S> coefficients;
    template <class Total>
    BANTAM_NOINLINE BANTAM_HOST_DEVICE void operator()(Index, Index c, const Total* moments) const {
        const Index channels = coefficients.channels;
        const auto channel = coefficients.at(c);
        const Compute<S> origin = origins[c];
        channel.from_batch(moments[0], moments[1], count, origin, statistics[c], statistics[channels + c]);
        channel.find_scale(parameters[c], parameters[channels + c]);
    }
};

/// Computes a channel's backward coefficients and parameter gradients from Σg and Σg · (x − mean), where g = dL/dy.
template <class S>
struct NormBackwardCoefficients {
    double count;
    NormCoefficients<S> coefficients;
    Compute<S>* parameter_gradient;
    template <class Total>
    BANTAM_NOINLINE BANTAM_HOST_DEVICE void operator()(Index, Index c, const Total* sums) const {
        coefficients.at(c).backward_coefficients(sums[0], sums[1], count, parameter_gradient[c],
                                                 parameter_gradient[coefficients.channels + c], coefficients.slope()[c],
                                                 coefficients.offset()[c]);
    }
};

/// Computes a channel's coefficients for inference, from the running statistics.
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

}  // namespace bantam::cuda
