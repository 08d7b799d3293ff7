// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/cuda/kernels/conv_operation.hpp>
#include <bantam/cuda/kernels/depthwise_conv.hpp>
#include <bantam/cuda/runtime/operation.hpp>
#include <bantam/layers/depthwise_conv2d.hpp>

namespace bantam::cuda {

/// Depthwise convolutions, there and back, in blocks; where those do not serve, with one thread a channel and part,
/// which is also what blocks are held against.
template <class Conv, Shape Input, class S>
struct DepthwiseKernel {
    using Number = Compute<S>;
    static constexpr Shape input = Input, output = Conv::output_shape(Input);
    static constexpr bool bias = Conv::bias;
    static constexpr Index channels = Input.channels;
    using Geometry = ConvGeometry<Input, Conv::kernel_size, Conv::stride, Conv::padding, Conv::dilation>;
    static constexpr int taps = Geometry::taps;
    static constexpr Index weight_count = channels * taps;
    static constexpr Index scratch_size = 0;
    static constexpr Index partial_size = weight_count;

    using Forth = TapsForward<Conv::kernel_size, Conv::stride, Conv::padding, Conv::dilation>;
    using Back = TapsBack<Conv::kernel_size, Conv::stride, Conv::padding, Conv::dilation>;
    template <class Source, class Sink>
    using ForwardInBlocks = DepthwiseForwardTiled<Forth, Input, output, Source, Sink>;
    template <class Gradient, class Source, class Sink>
    using BackwardInBlocks = DepthwiseBackwardTiled<Back, output, Input, Gradient, Source, Sink>;

    template <class Source, class Sink>
    struct ForwardByChannel {
        Source source;
        Sink sink;
        const Number* weights;
        Index rows, rows_per_slice;
        double* sums;
        BANTAM_HOST_DEVICE void operator()(Index i) const {
            const Index part = i / channels;
            const int c = static_cast<int>(i % channels);
            const auto from = source.template columns<1>(c);
            const auto to = sink.template columns<1>(c);
            Number kept[epilogue_sums<Sink>] = {};
            for (Index row = part * rows_per_slice; row < rows && row < (part + 1) * rows_per_slice; ++row) {
                Number sum{}, value;
                for (Index tap = 0; tap < taps; ++tap)
                    if (const Index pixel = Geometry::input_pixel(row, tap); pixel >= 0) {
                        from.at(pixel, &value);
                        sum += value * weights[c * taps + tap];
                    }
                to.put(row, &sum, kept);
            }
            for (int v = 0; v < Sink::sum_count; ++v)
                sums[(part * Sink::sum_count + v) * channels + c] = static_cast<double>(kept[v]);
        }
    };

    template <class Gradient, class Source, class Sink>
    struct BackwardByChannel {
        Gradient output_gradient;
        Source source;
        Sink sink;
        const Number* weights;
        Index rows, rows_per_slice;  // of the input
        Number* partials;
        double* sums;
        BANTAM_HOST_DEVICE void operator()(Index i) const {
            const Index part = i / channels;
            const int c = static_cast<int>(i % channels);
            const auto of_gradient = output_gradient.template columns<1>(c);
            const auto from = source.template columns<1>(c);
            const auto to = sink.template columns<1>(c);
            Number* totals = partials + i * taps;
            for (int tap = 0; tap < taps; ++tap) totals[tap] = Number(0);
            Number kept[epilogue_sums<Sink>] = {};
            for (Index row = part * rows_per_slice; row < rows && row < (part + 1) * rows_per_slice; ++row) {
                Number sum{}, factor, value;
                from.at(row, &factor);
                for (Index tap = 0; tap < taps; ++tap)
                    if (const Index pixel = Geometry::output_pixel(row, tap); pixel >= 0) {
                        of_gradient.at(pixel, &value);
                        sum += value * weights[c * taps + tap];
                        totals[tap] += value * factor;
                    }
                to.put(row, &sum, kept);
            }
            for (int v = 0; v < Sink::sum_count; ++v)
                sums[(part * Sink::sum_count + v) * channels + c] = static_cast<double>(kept[v]);
        }
    };

    template <class Source, class Sink>
    static Index forward(const Pass<S>& pass, const Number* weights, const Source& source, const Sink& sink) {
        using Kernel = ForwardInBlocks<Source, Sink>;
        if constexpr (Kernel::fit) {
            const auto parts = detail::TileParts<typename Kernel::Tiles>::of(pass.count, Sink::sum_count > 0);
            run_blocks(pass, parts.blocks(), Kernel{source, sink, weights, parts, pass.sums});
            return parts.count();
        } else {
            return forward_by_channel(pass, weights, source, sink);
        }
    }

    template <class Gradient, class Source, class Sink>
    static Index backward(const Pass<S>& pass, const Number* weights, const Gradient& output_gradient,
                          const Source& source, const Sink& sink, Number* weight_gradient) {
        using Kernel = BackwardInBlocks<Gradient, Source, Sink>;
        if constexpr (Kernel::fit) {
            const auto parts = detail::TileParts<typename Kernel::Tiles>::of(pass.count, true);
            run_blocks(pass, parts.blocks(),
                       Kernel{output_gradient, source, sink, weights, parts, pass.partials, pass.sums});
            sum_slices(*pass.execution, parts.count(), weight_count, pass.partials, weight_gradient);
            return parts.count();
        } else {
            return backward_by_channel(pass, weights, output_gradient, source, sink, weight_gradient);
        }
    }

    template <class Source, class Sink>
    static Index forward_by_channel(const Pass<S>& pass, const Number* weights, const Source& source,
                                    const Sink& sink) {
        const Index rows = pass.count * pixel_count(output), rows_per_slice = ceil_div(rows, max_slices);
        const Index parts = ceil_div(rows, rows_per_slice);
        for_each_index(pass, parts * channels,
                       ForwardByChannel<Source, Sink>{source, sink, weights, rows, rows_per_slice, pass.sums});
        return parts;
    }
    template <class Gradient, class Source, class Sink>
    static Index backward_by_channel(const Pass<S>& pass, const Number* weights, const Gradient& output_gradient,
                                     const Source& source, const Sink& sink, Number* weight_gradient) {
        const Index rows = pass.count * pixel_count(Input), rows_per_slice = ceil_div(rows, max_slices);
        const Index parts = ceil_div(rows, rows_per_slice);
        for_each_index(pass, parts * channels,
                       BackwardByChannel<Gradient, Source, Sink>{output_gradient, source, sink, weights, rows,
                                                                 rows_per_slice, pass.partials, pass.sums});
        sum_slices(*pass.execution, parts, weight_count, pass.partials, weight_gradient);
        return parts;
    }
};

template <int Kernel, int Stride, ConvOptions Options, Shape Input, class S>
struct Operation<DepthwiseConv2d<Kernel, Stride, Options>, Input, S>
    : ConvOperation<DepthwiseKernel<DepthwiseConv2d<Kernel, Stride, Options>, Input, S>, S> {};

}  // namespace bantam::cuda
