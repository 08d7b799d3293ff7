// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/cuda/operation.hpp>
#include <bantam/cuda/pointwise.hpp>
#include <bantam/layers/depthwise_conv2d.hpp>

#include <cstdint>

namespace bantam::cuda {

template <int Kernel, int Stride, ConvOptions Options, Shape Input, class S>
struct Operation<DepthwiseConv2d<Kernel, Stride, Options>, Input, S> : OperationSizes {
    using Conv = DepthwiseConv2d<Kernel, Stride, Options>;
    static constexpr Shape output = Conv::output_shape(Input);
    static constexpr std::int64_t channels = Input.channels;
    static constexpr std::int64_t dilation = Conv::dilation;
    static constexpr std::int64_t padding = Conv::padding;
    static constexpr std::int64_t taps = std::int64_t{Kernel} * Kernel;
    static constexpr std::int64_t weight_count = channels * taps;
    static constexpr std::int64_t pixels = pixel_count(output);
    static constexpr std::int64_t sums = weight_count;

    /// The input element under tap `tap` of output pixel `row` in channel c; null in the padding.
    BANTAM_HOST_DEVICE static const S* under(const S* input, std::int64_t row, std::int64_t tap, std::int64_t c) {
        const std::int64_t n = row / pixels, y = row % pixels / output.width, x = row % output.width;
        const std::int64_t in_y = y * Stride - padding + tap / Kernel * dilation;
        const std::int64_t in_x = x * Stride - padding + tap % Kernel * dilation;
        const bool inside = in_y >= 0 && in_y < Input.height && in_x >= 0 && in_x < Input.width;
        return inside ? input + ((n * Input.height + in_y) * Input.width + in_x) * channels + c : nullptr;
    }

    struct Forward {
        const S *input, *weights;
        S* output_map;
        BANTAM_HOST_DEVICE void operator()(std::int64_t i) const {
            const std::int64_t row = i / channels, c = i % channels;
            S sum = Conv::bias ? weights[weight_count + c] : S(0);
            for (std::int64_t tap = 0; tap < taps; ++tap)
                if (const S* x = under(input, row, tap, c)) sum += *x * weights[c * taps + tap];
            output_map[i] = sum;
        }
    };

    struct InputGradient {
        const S *output_gradient, *weights;
        S* input_gradient;
        BANTAM_HOST_DEVICE void operator()(std::int64_t i) const {
            const std::int64_t pixel = i / channels, c = i % channels;
            const std::int64_t n = pixel / (Input.height * Input.width);
            const std::int64_t in_y = pixel % (Input.height * Input.width) / Input.width, in_x = pixel % Input.width;
            S sum{};
            for (std::int64_t tap = 0; tap < taps; ++tap) {
                const std::int64_t y = in_y + padding - tap / Kernel * dilation;
                const std::int64_t x = in_x + padding - tap % Kernel * dilation;
                if (y < 0 || x < 0 || y % Stride != 0 || x % Stride != 0) continue;
                if (y / Stride >= output.height || x / Stride >= output.width) continue;
                const std::int64_t row = n * pixels + y / Stride * output.width + x / Stride;
                sum += output_gradient[row * channels + c] * weights[c * taps + tap];
            }
            input_gradient[i] = sum;
        }
    };

    /// What an output pixel adds to one element of the weight's gradient [channel][tap].
    struct WeightTerm {
        const S *input, *output_gradient;
        BANTAM_HOST_DEVICE S operator()(std::int64_t row, std::int64_t index) const {
            const std::int64_t c = index / taps;
            const S* x = under(input, row, index % taps, c);
            return x ? *x * output_gradient[row * channels + c] : S(0);
        }
    };

    static void forward(const Pass<S>& pass, const Weights<S>& weights, const S* input, S* output_map, S*) {
        for_each_index(pass, pass.count * element_count(output), Forward{input, weights.parameters, output_map});
    }

    static void backward(const Pass<S>& pass, const Weights<S>& weights, const S* input, const S*,
                         const S* output_gradient, S* input_gradient, S* parameter_gradient) {
        sum_over_rows(pass, pass.count * pixels, weight_count, WeightTerm{input, output_gradient}, pass.sums,
                      parameter_gradient);
        if constexpr (Conv::bias)
            bias_gradient<channels>(pass, pass.count * pixels, output_gradient, parameter_gradient + weight_count);
        if (input_gradient)
            for_each_index(pass, pass.count * element_count(Input),
                           InputGradient{output_gradient, weights.parameters, input_gradient});
    }
};

}  // namespace bantam::cuda
