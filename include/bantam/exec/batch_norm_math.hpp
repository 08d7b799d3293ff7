// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/host_device.hpp>
#include <bantam/layers/batch_norm2d.hpp>

#include <cmath>

namespace bantam::exec {

/// The coefficients of batch norm for one channel, forward and backward.
template <class S>
struct BatchNormChannel {
    S *mean, *inverse_deviation, *scale, *shift;

    /// Mean and 1 / √(variance + ε) from Σ(x − origin) and Σ(x − origin)² over `count` values. Updates the running
    /// statistics.
    BANTAM_HOST_DEVICE void from_batch(double first_moment, double second_moment, double count, S origin,
                                       S& running_mean, S& running_variance) const {
        const double offset = first_moment / count;
        const double difference = second_moment / count - offset * offset;
        const double variance = difference > 0 ? difference : 0;
        *mean = static_cast<S>(static_cast<double>(origin) + offset);
        *inverse_deviation = static_cast<S>(1.0 / std::sqrt(variance + BatchNorm2d::epsilon));
        const double unbiased = count > 1 ? variance * count / (count - 1) : variance;
        update(running_mean, static_cast<double>(*mean));
        update(running_variance, unbiased);
    }

    BANTAM_HOST_DEVICE void from_running(S running_mean, S running_variance) const {
        *mean = running_mean;
        *inverse_deviation = S(1) / std::sqrt(running_variance + S(BatchNorm2d::epsilon));
    }

    /// Scale and shift of y = x · scale + shift.
    BANTAM_HOST_DEVICE void find_scale(S weight, S bias) const {
        *scale = weight * *inverse_deviation;
        *shift = bias - *mean * *scale;
    }

    /// From Σg and Σg·(x − mean): the gradients of weight and bias, and slope and offset in
    /// dL/dx = scale · (g − Σg / n − (x − mean) / deviation² · Σg·(x − mean) / n)
    ///       = scale · g + slope · x + offset.
    BANTAM_HOST_DEVICE void backward_coefficients(double gradient_sum, double product_sum, double count,
                                                  S& weight_gradient, S& bias_gradient, S& slope, S& offset) const {
        const double inverse = static_cast<double>(*inverse_deviation);
        const double factor = static_cast<double>(*scale);
        weight_gradient = static_cast<S>(product_sum * inverse);
        bias_gradient = static_cast<S>(gradient_sum);
        const double exact_slope = -factor * inverse * inverse * product_sum / count;
        slope = static_cast<S>(exact_slope);
        offset = static_cast<S>(-factor * gradient_sum / count - exact_slope * static_cast<double>(*mean));
    }

private:
    BANTAM_HOST_DEVICE static void update(S& running, double batch) {
        running =
            static_cast<S>((1 - BatchNorm2d::momentum) * static_cast<double>(running) + BatchNorm2d::momentum * batch);
    }
};

}  // namespace bantam::exec
