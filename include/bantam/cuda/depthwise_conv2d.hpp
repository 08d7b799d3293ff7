// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/cuda/depthwise_blocks.hpp>
#include <bantam/cuda/hooked_operation.hpp>
#include <bantam/cuda/operation.hpp>
#include <bantam/cuda/windows.hpp>
#include <bantam/layers/depthwise_conv2d.hpp>

#include <cstdint>

namespace bantam::cuda {

/// Depthwise convolutions, there and back, in blocks; where those do not serve, with one thread a channel and part,
/// which is also what blocks are held against.
template <class Conv, Shape Input, class S>
struct DepthwiseKernel {
    using Number = Arithmetic<S>;
    static constexpr Shape input = Input, output = Conv::output_shape(Input);
    static constexpr bool bias = Conv::bias;
    static constexpr std::int64_t channels = Input.channels;
    using Around = Windows<Input, output, Conv::kernel, Conv::stride, Conv::padding, Conv::dilation>;
    static constexpr int taps = Around::taps;
    static constexpr std::int64_t weight_count = channels * taps;
    static constexpr std::int64_t scratch = 0;
    static constexpr std::int64_t partials = weight_count;

    using Forth = TapsForward<Conv::kernel, Conv::stride, Conv::padding, Conv::dilation>;
    using Back = TapsBack<Conv::kernel, Conv::stride, Conv::padding, Conv::dilation>;
    template <class Source, class Sink>
    using ForwardInBlocks = DepthwiseInBlocks<Forth, Input, output, Source, Sink>;
    template <class Gradient, class Source, class Sink>
    using BackwardInBlocks = DepthwiseBackInBlocks<Back, output, Input, Gradient, Source, Sink>;

    template <class Source, class Sink>
    struct ForwardByChannel {
        Source source;
        Sink sink;
        const Number* weights;
        std::int64_t rows, rows_a_part;
        double* sums;
        BANTAM_HOST_DEVICE void operator()(std::int64_t i) const {
            const std::int64_t part = i / channels;
            const int c = static_cast<int>(i % channels);
            const auto from = source.template columns<1>(c);
            const auto to = sink.template columns<1>(c);
            Number kept[sums_of<Sink>] = {};
            for (std::int64_t row = part * rows_a_part; row < rows && row < (part + 1) * rows_a_part; ++row) {
                Number sum{}, value;
                for (std::int64_t tap = 0; tap < taps; ++tap)
                    if (const std::int64_t pixel = Around::pixel_under(row, tap); pixel >= 0) {
                        from.at(pixel, &value);
                        sum += value * weights[c * taps + tap];
                    }
                to.put(row, &sum, kept);
            }
            for (int v = 0; v < Sink::sums; ++v)
                sums[(part * Sink::sums + v) * channels + c] = static_cast<double>(kept[v]);
        }
    };

    template <class Gradient, class Source, class Sink>
    struct BackwardByChannel {
        Gradient output_gradient;
        Source source;
        Sink sink;
        const Number* weights;
        std::int64_t rows, rows_a_part;  // of the input
        Number* partials;
        double* sums;
        BANTAM_HOST_DEVICE void operator()(std::int64_t i) const {
            const std::int64_t part = i / channels;
            const int c = static_cast<int>(i % channels);
            const auto of_gradient = output_gradient.template columns<1>(c);
            const auto from = source.template columns<1>(c);
            const auto to = sink.template columns<1>(c);
            Number* totals = partials + i * taps;
            for (int tap = 0; tap < taps; ++tap) totals[tap] = Number(0);
            Number kept[sums_of<Sink>] = {};
            for (std::int64_t row = part * rows_a_part; row < rows && row < (part + 1) * rows_a_part; ++row) {
                Number sum{}, factor, value;
                from.at(row, &factor);
                for (std::int64_t tap = 0; tap < taps; ++tap)
                    if (const std::int64_t pixel = Around::pixel_over(row, tap); pixel >= 0) {
                        of_gradient.at(pixel, &value);
                        sum += value * weights[c * taps + tap];
                        totals[tap] += value * factor;
                    }
                to.put(row, &sum, kept);
            }
            for (int v = 0; v < Sink::sums; ++v)
                sums[(part * Sink::sums + v) * channels + c] = static_cast<double>(kept[v]);
        }
    };

    template <class Source, class Sink>
    static std::int64_t forward(const Pass<S>& pass, const Number* weights, const Source& source, const Sink& sink) {
        using Kernel = ForwardInBlocks<Source, Sink>;
        if constexpr (Kernel::fit) {
            const auto parts = detail::TileParts<typename Kernel::Tiles>::of(pass.count, Sink::sums > 0);
            run_blocks(pass, parts.blocks(), Kernel{source, sink, weights, parts, pass.sums});
            return parts.count();
        } else {
            return forward_by_channel(pass, weights, source, sink);
        }
    }

    template <class Gradient, class Source, class Sink>
    static std::int64_t backward(const Pass<S>& pass, const Number* weights, const Gradient& output_gradient,
                                 const Source& source, const Sink& sink, Number* weight_gradient) {
        using Kernel = BackwardInBlocks<Gradient, Source, Sink>;
        if constexpr (Kernel::fit) {
            const auto parts = detail::TileParts<typename Kernel::Tiles>::of(pass.count, true);
            run_blocks(pass, parts.blocks(),
                       Kernel{output_gradient, source, sink, weights, parts, pass.partials, pass.sums});
            sum_parts(*pass.execution, parts.count(), weight_count, pass.partials, weight_gradient);
            return parts.count();
        } else {
            return backward_by_channel(pass, weights, output_gradient, source, sink, weight_gradient);
        }
    }

    template <class Source, class Sink>
    static std::int64_t forward_by_channel(const Pass<S>& pass, const Number* weights, const Source& source,
                                           const Sink& sink) {
        const std::int64_t rows = pass.count * pixel_count(output), rows_a_part = piece_count(rows, max_parts);
        const std::int64_t parts = piece_count(rows, rows_a_part);
        for_each_index(pass, parts * channels,
                       ForwardByChannel<Source, Sink>{source, sink, weights, rows, rows_a_part, pass.sums});
        return parts;
    }
    template <class Gradient, class Source, class Sink>
    static std::int64_t backward_by_channel(const Pass<S>& pass, const Number* weights,
                                            const Gradient& output_gradient, const Source& source, const Sink& sink,
                                            Number* weight_gradient) {
        const std::int64_t rows = pass.count * pixel_count(Input), rows_a_part = piece_count(rows, max_parts);
        const std::int64_t parts = piece_count(rows, rows_a_part);
        for_each_index(pass, parts * channels,
                       BackwardByChannel<Gradient, Source, Sink>{output_gradient, source, sink, weights, rows,
                                                                 rows_a_part, pass.partials, pass.sums});
        sum_parts(*pass.execution, parts, weight_count, pass.partials, weight_gradient);
        return parts;
    }
};

template <int Kernel, int Stride, ConvOptions Options, Shape Input, class S>
struct Operation<DepthwiseConv2d<Kernel, Stride, Options>, Input, S>
    : HookedOperation<DepthwiseKernel<DepthwiseConv2d<Kernel, Stride, Options>, Input, S>, S> {};

}  // namespace bantam::cuda
