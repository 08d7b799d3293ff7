// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/cuda/matrix_product.hpp>
#include <bantam/cuda/pointwise.hpp>
#include <bantam/cuda/windows.hpp>
#include <bantam/layers/conv2d.hpp>

#include <algorithm>
#include <cstdint>

namespace bantam::cuda {

/// A convolution as products of gathered windows, some samples at a time. A window's elements go by tap
/// and then by channel, so that neighbours in memory are neighbours in the window.
template <class Conv, Shape Input, class S>
struct DenseOperation : OperationSizes {
    using Number = Arithmetic<S>;
    static constexpr Shape output = Conv::output_shape(Input);
    using Around = Windows<Input, output, Conv::kernel, Conv::stride, Conv::padding, Conv::dilation>;
    static constexpr std::int64_t groups = Conv::groups;
    static constexpr std::int64_t in = Input.channels / groups;       // a group
    static constexpr std::int64_t out = Conv::out_channels / groups;  // a group
    static constexpr std::int64_t taps = Around::taps;
    static constexpr std::int64_t window = taps * in;
    static constexpr std::int64_t weight_count = groups * out * window;
    static constexpr std::int64_t pixels = pixel_count(output);

    // Windows of so many samples at once as fit 64 MiB of floats, of one at least.
    static constexpr std::int64_t samples_at_once =
        std::max<std::int64_t>(1, (std::int64_t{16} << 20) / (pixels * window));
    // Scratch: the weight's gradient, the weights in the order of windows, the windows.
    static constexpr std::int64_t gradient_scratch = device::scalars_a_number<S> * weight_count;
    static constexpr std::int64_t scratch = gradient_scratch + weight_count + samples_at_once * pixels * window;
    static constexpr std::int64_t sums = Conv::bias ? Conv::out_channels : 0;

    /// [out][channel][tap] to [out][tap][channel], or back.
    template <bool Back, class From, class To>
    struct Reorder {
        const From* from;
        To* to;
        BANTAM_HOST_DEVICE void operator()(std::int64_t i) const {
            const std::int64_t o = i / window, tap = i % window / in, c = i % in;
            const std::int64_t theirs = (o * in + c) * taps + tap;
            to[Back ? theirs : i] = To(from[Back ? i : theirs]);
        }
    };

    /// windows[row][tap][channel] of one group.
    struct Gather {
        const S* input;
        S* windows;
        std::int64_t first_channel;
        BANTAM_HOST_DEVICE void operator()(std::int64_t i) const {
            const std::int64_t pixel = Around::pixel_under(i / window, i % window / in);
            windows[i] = pixel < 0 ? S{} : input[pixel * Input.channels + first_channel + i % in];
        }
    };

    /// dL/d(input) of one element of a group: the sum over the windows that hold it.
    struct Collect {
        const S* windows;
        S* input_gradient;
        std::int64_t first_channel;
        BANTAM_HOST_DEVICE void operator()(std::int64_t i) const {
            const std::int64_t pixel = i / in, c = i % in;
            Arithmetic<S> sum{};
            for (std::int64_t tap = 0; tap < taps; ++tap)
                if (const std::int64_t row = Around::pixel_over(pixel, tap); row >= 0)
                    sum += windows[row * window + tap * in + c];
            input_gradient[pixel * Input.channels + first_channel + c] = S(sum);
        }
    };

    /// The weights in the order of windows, in scratch.
    static S* order(const Pass<S>& pass, const Weights<S>& weights) {
        S* ordered = pass.scratch + gradient_scratch;
        for_each_index(pass, weight_count, Reorder<false, Number, S>{weights.parameters, ordered});
        return ordered;
    }

    /// Calls `body(first sample, samples)` for the pieces that the batch is worked through in.
    template <class Body>
    static void for_each_piece(const Pass<S>& pass, Body&& body) {
        for (std::int64_t n = 0; n < pass.count; n += samples_at_once)
            body(n, std::min(samples_at_once, pass.count - n));
    }

    static void forward(const Pass<S>& pass, const Weights<S>& weights, const S* input, S* output_map, S*) {
        S* ordered = order(pass, weights);
        S* windows = ordered + weight_count;
        for_each_piece(pass, [&](std::int64_t first, std::int64_t samples) {
            const std::int64_t rows = samples * pixels;
            for (std::int64_t group = 0; group < groups; ++group) {
                for_each_index(pass, rows * window, Gather{input + first * element_count(Input), windows, group * in});
                multiply<S>(pass, rows, out, window, {windows, window},
                            {ordered + group * out * window, window, Transposed::yes},
                            output_map + first * element_count(output) + group * out, output.channels);
            }
        });
        if constexpr (Conv::bias)
            add_bias<output.channels>(pass, pass.count * pixels, weights.parameters + weight_count, output_map);
    }

    static void backward(const Pass<S>& pass, const Weights<S>& weights, const S* input, const S*,
                         const S* output_gradient, S* input_gradient, Number* parameter_gradient) {
        auto* ordered_gradient = reinterpret_cast<Number*>(pass.scratch);
        S* ordered = order(pass, weights);
        S* windows = ordered + weight_count;
        for_each_piece(pass, [&](std::int64_t first, std::int64_t samples) {
            const std::int64_t rows = samples * pixels;
            for (std::int64_t group = 0; group < groups; ++group) {
                const S* gradient = output_gradient + first * element_count(output) + group * out;
                for_each_index(pass, rows * window, Gather{input + first * element_count(Input), windows, group * in});
                multiply<S>(pass, out, window, rows, {gradient, output.channels, Transposed::yes}, {windows, window},
                            ordered_gradient + group * out * window, window, first > 0);
                if (!input_gradient) continue;
                multiply<S>(pass, rows, window, out, {gradient, output.channels},
                            {ordered + group * out * window, window}, windows, window);
                for_each_index(pass, samples * Input.height * Input.width * in,
                               Collect{windows, input_gradient + first * element_count(Input), group * in});
            }
        });
        for_each_index(pass, weight_count, Reorder<true, Number, Number>{ordered_gradient, parameter_gradient});
        if constexpr (Conv::bias)
            bias_gradient<output.channels>(pass, pass.count * pixels, output_gradient,
                                           parameter_gradient + weight_count);
    }
};

template <int Out, int Kernel, int Stride, ConvOptions Options, Shape Input, class S>
struct Operation<Conv2d<Out, Kernel, Stride, Options>, Input, S>
    : DenseOperation<Conv2d<Out, Kernel, Stride, Options>, Input, S> {};

template <int Out, ConvOptions Options, Shape Input, class S>
    requires(Options.groups == 1 && Options.padding <= 0)
struct Operation<Conv2d<Out, 1, 1, Options>, Input, S>
    : PointwiseOperation<pixel_count(Input), Input.channels, Out, Options.bias, S> {};

}  // namespace bantam::cuda
