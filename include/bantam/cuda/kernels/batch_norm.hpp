// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/bfloat16.hpp>
#include <bantam/base/host_device.hpp>
#include <bantam/base/index.hpp>
#include <bantam/cuda/kernels/norm_coefficients.hpp>
#include <bantam/cuda/runtime/thread_block.hpp>
#include <bantam/exec/activation_functions.hpp>

namespace bantam::cuda {

// Terms and columns of batch norm for the row reductions and row writes of row_reduction.hpp. x is the norm's input.

/// The terms x − origin and (x − origin)². The origin is the channel's first value in the batch, which avoids
/// cancellation in channels far from zero.
template <class S>
struct MomentsTerm {
    const S *input, *origins;
    Index channels;
    BANTAM_HOST_DEVICE Values<Compute<S>, 2> operator()(Index row, Index c) const {
        const Compute<S> difference = input[row * channels + c] - origins[c];
        return {{difference, difference * difference}};
    }
};

/// y = act(scale · x + shift)
template <class Act, class S>
struct NormActColumns {
    const S* input;
    NormCoefficients<S> coefficients;

    struct Column {
        const S* input;
        Index channels;
        Compute<S> scale, shift;
        BANTAM_HOST_DEVICE Compute<S> operator()(Index row) const {
            return exec::ActivationFunction<Act>::value(input[row * channels] * scale + shift);
        }
    };
    BANTAM_HOST_DEVICE Column operator()(Index c) const {
        const auto channel = coefficients.at(c);
        return {input + c, coefficients.channels, *channel.scale, *channel.shift};
    }
};

/// The terms g and g · (x − mean), where g is the gradient behind the norm: output_gradient · act'(scale · x + shift).
/// One row of the output's gradient belongs to `Pixels` rows of x and is divided by `Pixels`, as behind a global
/// average.
template <class Act, class S, Index Pixels = 1>
struct NormGradientTerm {
    const S *input, *output_gradient;
    NormCoefficients<S> coefficients;
    BANTAM_HOST_DEVICE Values<Compute<S>, 2> operator()(Index row, Index c) const {
        using ComputeType = Compute<S>;
        const auto channel = coefficients.at(c);
        const ComputeType x = input[row * coefficients.channels + c];
        const ComputeType gradient = output_gradient[row / Pixels * coefficients.channels + c] *
                                     exec::ActivationFunction<Act>::derivative(x * *channel.scale + *channel.shift) *
                                     ComputeType(1.0 / static_cast<double>(Pixels));
        return {{gradient, gradient * (x - *channel.mean)}};
    }
};

/// dL/dx = scale · g + slope · x + offset with g = output_gradient · act'(scale · x + shift)
template <class Act, class S>
struct NormBackwardColumns {
    const S *input, *output_gradient;
    NormCoefficients<S> coefficients;

    struct Column {
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
    BANTAM_HOST_DEVICE Column operator()(Index c) const {
        const auto channel = coefficients.at(c);
        return {input + c,      output_gradient + c,     coefficients.channels,   *channel.scale,
                *channel.shift, coefficients.slope()[c], coefficients.offset()[c]};
    }
};

}  // namespace bantam::cuda
