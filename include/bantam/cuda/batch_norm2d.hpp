// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/cuda/operation.hpp>
#include <bantam/device/batch_norm_channel.hpp>
#include <bantam/layers/batch_norm2d.hpp>

#include <cstdint>

namespace bantam::cuda {

template <Shape Input, class S>
struct Operation<BatchNorm2d, Input, S> : OperationSizes {
    static constexpr std::int64_t channels = Input.channels;
    static constexpr std::int64_t sums = 4 * channels;

    /// Mean, 1 / √(variance + ε), scale, shift, and on the way back slope and offset.
    static constexpr std::int64_t saved_fixed(bool) { return 6 * channels; }
    BANTAM_HOST_DEVICE static device::BatchNormChannel<S> channel_at(S* saved, std::int64_t c) {
        return {saved + c, saved + channels + c, saved + 2 * channels + c, saved + 3 * channels + c};
    }

    /// x − origin and its square: no cancellation where a channel lies far from zero.
    struct Moment {
        const S* input;
        BANTAM_HOST_DEVICE S operator()(std::int64_t row, std::int64_t index) const {
            const std::int64_t c = index % channels;
            const S difference = input[row * channels + c] - input[c];
            return index < channels ? difference : difference * difference;
        }
    };
    struct FromBatch {
        const double* moments;
        double count;
        const S *input, *parameters;
        S *statistics, *saved;
        BANTAM_HOST_DEVICE void operator()(std::int64_t c) const {
            const auto channel = channel_at(saved, c);
            channel.from_batch(moments[c], moments[channels + c], count, input[c], statistics[c],
                               statistics[channels + c]);
            channel.find_scale(parameters[c], parameters[channels + c]);
        }
    };
    struct FromRunning {
        const S *statistics, *parameters;
        S* saved;
        BANTAM_HOST_DEVICE void operator()(std::int64_t c) const {
            const auto channel = channel_at(saved, c);
            channel.from_running(statistics[c], statistics[channels + c]);
            channel.find_scale(parameters[c], parameters[channels + c]);
        }
    };
    struct Normalise {
        const S *input, *saved;
        S* output;
        BANTAM_HOST_DEVICE void operator()(std::int64_t i) const {
            const std::int64_t c = i % channels;
            output[i] = input[i] * saved[2 * channels + c] + saved[3 * channels + c];
        }
    };

    /// g and g · (x − mean).
    struct GradientTerm {
        const S *input, *output_gradient, *saved;
        BANTAM_HOST_DEVICE S operator()(std::int64_t row, std::int64_t index) const {
            const std::int64_t c = index % channels;
            const S gradient = output_gradient[row * channels + c];
            return index < channels ? gradient : gradient * (input[row * channels + c] - saved[c]);
        }
    };
    struct WayBack {
        const double* sums;
        double count;
        S *saved, *parameter_gradient;
        BANTAM_HOST_DEVICE void operator()(std::int64_t c) const {
            channel_at(saved, c).way_back(sums[c], sums[channels + c], count, parameter_gradient[c],
                                          parameter_gradient[channels + c], saved[4 * channels + c],
                                          saved[5 * channels + c]);
        }
    };
    struct InputGradient {
        const S *input, *output_gradient, *saved;
        S* input_gradient;
        BANTAM_HOST_DEVICE void operator()(std::int64_t i) const {
            const std::int64_t c = i % channels;
            input_gradient[i] = output_gradient[i] * saved[2 * channels + c] + input[i] * saved[4 * channels + c] +
                                saved[5 * channels + c];
        }
    };

    static void forward(const Pass<S>& pass, const Weights<S>& weights, const S* input, S* output, S* saved) {
        const std::int64_t rows = pass.count * pixel_count(Input);
        if (pass.training) {
            double* moments = pass.sums;
            sum_over_rows(pass, rows, 2 * channels, Moment{input}, moments + 2 * channels, moments);
            for_each_index(pass, channels,
                           FromBatch{moments, static_cast<double>(rows), input, weights.parameters,
                                     weights.statistics, saved});
        } else {
            for_each_index(pass, channels, FromRunning{weights.statistics, weights.parameters, saved});
        }
        for_each_index(pass, rows * channels, Normalise{input, saved, output});
    }

    static void backward(const Pass<S>& pass, const Weights<S>&, const S* input, S* saved, const S* output_gradient,
                         S* input_gradient, S* parameter_gradient) {
        const std::int64_t rows = pass.count * pixel_count(Input);
        double* totals = pass.sums;
        sum_over_rows(pass, rows, 2 * channels, GradientTerm{input, output_gradient, saved}, totals + 2 * channels,
                      totals);
        for_each_index(pass, channels, WayBack{totals, static_cast<double>(rows), saved, parameter_gradient});
        if (input_gradient)
            for_each_index(pass, rows * channels, InputGradient{input, output_gradient, saved, input_gradient});
    }
};

}  // namespace bantam::cuda
