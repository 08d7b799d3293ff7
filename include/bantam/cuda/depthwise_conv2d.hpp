// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/cuda/depthwise_blocks.hpp>
#include <bantam/cuda/operation.hpp>
#include <bantam/cuda/pointwise.hpp>
#include <bantam/cuda/windows.hpp>
#include <bantam/layers/depthwise_conv2d.hpp>

#include <cstdint>

namespace bantam::cuda {

template <int Kernel, int Stride, ConvOptions Options, Shape Input, class S>
struct Operation<DepthwiseConv2d<Kernel, Stride, Options>, Input, S> : OperationSizes {
    using Conv = DepthwiseConv2d<Kernel, Stride, Options>;
    using Number = Arithmetic<S>;
    static constexpr Shape output = Conv::output_shape(Input);
    static constexpr std::int64_t channels = Input.channels;
    using Around = Windows<Input, output, Kernel, Stride, Conv::padding, Conv::dilation>;
    static constexpr std::int64_t taps = Around::taps;
    static constexpr std::int64_t weight_count = channels * taps;
    static constexpr std::int64_t pixels = pixel_count(output);
    static constexpr std::int64_t sums = weight_count;

    using Forth = TapsForward<Kernel, Stride, Conv::padding, Conv::dilation>;
    using Back = TapsBack<Kernel, Stride, Conv::padding, Conv::dilation>;
    using ForwardInBlocks = DepthwiseInBlocks<Forth, Input, output, S>;
    using BackwardInBlocks = DepthwiseInBlocks<Back, output, Input, S>;
    using WeightsInBlocks = DepthwiseWeightGradient<Forth, Input, output, S>;

    struct Forward {
        const S* input;
        const Number* weights;
        S* output_map;
        BANTAM_HOST_DEVICE void operator()(std::int64_t i) const {
            const std::int64_t row = i / channels, c = i % channels;
            Number sum = Conv::bias ? weights[weight_count + c] : Number(0);
            for (std::int64_t tap = 0; tap < taps; ++tap)
                if (const std::int64_t pixel = Around::pixel_under(row, tap); pixel >= 0)
                    sum += input[pixel * channels + c] * weights[c * taps + tap];
            output_map[i] = S(sum);
        }
    };

    struct InputGradient {
        const S* output_gradient;
        const Number* weights;
        S* input_gradient;
        BANTAM_HOST_DEVICE void operator()(std::int64_t i) const {
            const std::int64_t pixel = i / channels, c = i % channels;
            Number sum{};
            for (std::int64_t tap = 0; tap < taps; ++tap)
                if (const std::int64_t row = Around::pixel_over(pixel, tap); row >= 0)
                    sum += output_gradient[row * channels + c] * weights[c * taps + tap];
            input_gradient[i] = S(sum);
        }
    };

    /// What an output pixel adds to one element of the weight's gradient [channel][tap].
    struct WeightTerm {
        const S *input, *output_gradient;
        BANTAM_HOST_DEVICE Number operator()(std::int64_t row, std::int64_t index) const {
            const std::int64_t c = index / taps;
            const std::int64_t pixel = Around::pixel_under(row, index % taps);
            return pixel < 0 ? Number(0) : input[pixel * channels + c] * output_gradient[row * channels + c];
        }
    };

    static const Number* bias_of(const Number* weights) { return Conv::bias ? weights + weight_count : nullptr; }

    static void forward(const Pass<S>& pass, const Weights<S>& weights, const S* input, S* output_map, S*) {
        if constexpr (ForwardInBlocks::fit)
            run_blocks(pass, ForwardInBlocks::blocks(pass.count),
                       ForwardInBlocks{input, weights.parameters, bias_of(weights.parameters), output_map});
        else
            forward_by_element(pass, weights.parameters, input, output_map);
    }

    static void backward(const Pass<S>& pass, const Weights<S>& weights, const S* input, const S*,
                         const S* output_gradient, S* input_gradient, Number* parameter_gradient) {
        if constexpr (WeightsInBlocks::fit) {
            const auto kernel = WeightsInBlocks::of(pass.count, input, output_gradient, pass.sums);
            run_blocks(pass, kernel.blocks(), kernel);
            sum_parts(*pass.execution, kernel.parts(), weight_count, pass.sums, parameter_gradient);
        } else {
            weight_gradient_by_element(pass, input, output_gradient, parameter_gradient);
        }
        if constexpr (Conv::bias)
            bias_gradient<channels>(pass, pass.count * pixels, output_gradient, parameter_gradient + weight_count);
        if (!input_gradient) return;
        if constexpr (BackwardInBlocks::fit)
            run_blocks(pass, BackwardInBlocks::blocks(pass.count),
                       BackwardInBlocks{output_gradient, weights.parameters, nullptr, input_gradient});
        else
            input_gradient_by_element(pass, weights.parameters, output_gradient, input_gradient);
    }

    // The same with one thread an element: for what does not fit into blocks, and what blocks are held against.

    static void forward_by_element(const Pass<S>& pass, const Number* weights, const S* input, S* output_map) {
        for_each_index(pass, pass.count * element_count(output), Forward{input, weights, output_map});
    }
    static void input_gradient_by_element(const Pass<S>& pass, const Number* weights, const S* output_gradient,
                                          S* input_gradient) {
        for_each_index(pass, pass.count * element_count(Input),
                       InputGradient{output_gradient, weights, input_gradient});
    }
    static void weight_gradient_by_element(const Pass<S>& pass, const S* input, const S* output_gradient,
                                           Number* weight_gradient) {
        sum_over_rows_by_element(*pass.execution, pass.count * pixels, weight_count,
                                 WeightTerm{input, output_gradient}, pass.sums, weight_gradient);
    }
};

}  // namespace bantam::cuda
