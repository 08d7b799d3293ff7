// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/cpu/conv2d.hpp>
#include <bantam/cpu/depthwise_conv2d.hpp>
#include <bantam/cpu/matrix_product.hpp>
#include <bantam/cpu/operation.hpp>
#include <bantam/cpu/simd.hpp>

#include <algorithm>
#include <cstdint>

namespace bantam::cpu {

/// A convolution whose input, output gradient and results pass through hooks while they are in the
/// cache, so that the layers around it need no trip to memory of their own. All work on rows: one row is
/// one position of the batch with all its channels, counted over the samples.
///
/// - `source.rows(first, count, scratch)`: input rows, in `scratch` or wherever they lie
/// - `wrote(first, count)`: these output rows are final
/// - `gradient.rows(first, count, scratch)`: rows of dL/d(output)
/// - `sink(first, count, rows)`: takes rows of dL/d(input); called only where `sink.wanted()`
///
/// Here: dense convolutions, a sample at a time.
template <class Conv, Shape Input, class S>
struct HookedConvolution {
    using Plain = Operation<Conv, Input, S>;
    static constexpr Shape output = Conv::output_shape(Input);
    static constexpr std::int64_t scratch = 2 * element_count(Input) + element_count(output) + Plain::scratch;

    template <class Source, class Wrote>
    static void forward(Chunk chunk, const Weights<S>& weights, const Source& source, S* z, Wrote&& wrote,
                        S* scratch_here) {
        S* columns = scratch_here + element_count(Input);
        for (std::int64_t n = chunk.first; n < chunk.first + chunk.count; ++n) {
            const S* x = source.rows(n * pixel_count(Input), pixel_count(Input), scratch_here);
            Plain::forward_samples(1, weights, x, z + n * element_count(output), columns);
            wrote(n * pixel_count(output), pixel_count(output));
        }
    }

    template <class Source, class Gradient, class Sink>
    static void backward(Chunk chunk, const Weights<S>& weights, const Source& source, const Gradient& gradient,
                         const Sink& sink, S* partial, S* scratch_here) {
        S* z_gradient = scratch_here + element_count(Input);
        S* x_gradient = z_gradient + element_count(output);
        S* columns = x_gradient + element_count(Input);
        for (std::int64_t n = chunk.first; n < chunk.first + chunk.count; ++n) {
            const S* x = source.rows(n * pixel_count(Input), pixel_count(Input), scratch_here);
            const S* dz = gradient.rows(n * pixel_count(output), pixel_count(output), z_gradient);
            Plain::backward_samples(1, weights, x, dz, sink.wanted() ? x_gradient : nullptr, partial, columns);
            if (sink.wanted()) sink(n * pixel_count(Input), pixel_count(Input), x_gradient);
        }
    }
};

/// Pointwise convolutions go block of rows by block of rows.
template <int Out, ConvOptions Options, Shape Input, class S>
    requires(Options.groups == 1 && Options.padding <= 0)
struct HookedConvolution<Conv2d<Out, 1, 1, Options>, Input, S> {
    using Plain = Operation<Conv2d<Out, 1, 1, Options>, Input, S>;
    static constexpr std::int64_t in = Input.channels;
    static constexpr std::int64_t block = 8 * tile_rows;
    static constexpr std::int64_t scratch = block * (2 * in + Out) + transposed_scratch<S>;

    template <class Body>
    static void for_each_block(Chunk chunk, Body&& body) {
        const std::int64_t end = (chunk.first + chunk.count) * pixel_count(Input);
        for (std::int64_t row = chunk.first * pixel_count(Input); row < end; row += block)
            body(row, std::min(block, end - row));
    }

    template <class Source, class Wrote>
    static void forward(Chunk chunk, const Weights<S>& weights, const Source& source, S* z, Wrote&& wrote,
                        S* scratch_here) {
        for_each_block(chunk, [&](std::int64_t row, std::int64_t rows) {
            multiply<false>(rows, Out, in, source.rows(row, rows, scratch_here), in, weights.packed, z + row * Out, Out);
            if constexpr (Options.bias) add_bias<S>(rows, Out, weights.parameters + Plain::weight_count, z + row * Out);
            wrote(row, rows);
        });
    }

    template <class Source, class Gradient, class Sink>
    static void backward(Chunk chunk, const Weights<S>& weights, const Source& source, const Gradient& gradient,
                         const Sink& sink, S* partial, S* scratch_here) {
        S* z_gradient = scratch_here + block * in;
        S* x_gradient = z_gradient + block * Out;
        S* panels = x_gradient + block * in;
        for_each_block(chunk, [&](std::int64_t row, std::int64_t rows) {
            const S* x = source.rows(row, rows, scratch_here);
            const S* dz = gradient.rows(row, rows, z_gradient);
            multiply_transposed(std::int64_t{Out}, in, rows, dz, std::int64_t{Out}, x, in, partial, in, panels);
            if constexpr (Options.bias) add_row_sums<S>(rows, Out, dz, partial + Plain::weight_count);
            if (!sink.wanted()) return;
            multiply<false>(rows, in, Out, dz, std::int64_t{Out}, weights.packed + Plain::forward_panels, x_gradient, in);
            sink(row, rows, x_gradient);
        });
    }
};

/// A row of outputs from a map with its padding written out: no edges. `top` is the first padded row that
/// the window touches, `row_stride` scalars a padded row.
template <int Kernel, class S>
void padded_depthwise_row(const S* top, std::int64_t row_stride, std::int64_t stride, std::int64_t dilation,
                          std::int64_t channels, std::int64_t width, const S* weights, const S* bias, S* out) {
    for_each_vector<S>(channels, [&](std::int64_t c, auto fetch, auto put) {
        const Vector<S> start = bias ? fetch(bias + c) : Vector<S>{};
        const S* from = top + c;
        S* to = out + c;
        const std::int64_t row = dilation * row_stride;
        const std::int64_t column = dilation * channels;
        if constexpr (Kernel <= 3) {
            Vector<S> w[Kernel * Kernel];
            BANTAM_UNROLL(9)
            for (int tap = 0; tap < Kernel * Kernel; ++tap) w[tap] = fetch(weights + tap * channels + c);
            for (std::int64_t x = 0; x < width; ++x, from += stride * channels, to += channels) {
                Vector<S> sum = start;
                BANTAM_UNROLL(9)
                for (int tap = 0; tap < Kernel * Kernel; ++tap)
                    sum += fetch(from + tap / Kernel * row + tap % Kernel * column) * w[tap];
                put(to, sum);
            }
        } else {
            // Four outputs share each weight that is fetched.
            std::int64_t x = 0;
            const auto outputs = [&]<int Count>() {
                Vector<S> sums[Count];
                BANTAM_UNROLL(4)
                for (int i = 0; i < Count; ++i) sums[i] = start;
                for (std::int64_t ky = 0; ky < Kernel; ++ky)
                    for (std::int64_t kx = 0; kx < Kernel; ++kx) {
                        const Vector<S> w = fetch(weights + (ky * Kernel + kx) * channels + c);
                        const S* tap = from + x * stride * channels + ky * row + kx * column;
                        BANTAM_UNROLL(4)
                        for (int i = 0; i < Count; ++i) sums[i] += fetch(tap + i * stride * channels) * w;
                    }
                BANTAM_UNROLL(4)
                for (int i = 0; i < Count; ++i) put(to + (x + i) * channels, sums[i]);
                x += Count;
            };
            while (x + 4 <= width) outputs.template operator()<4>();
            while (x < width) outputs.template operator()<1>();
        }
    });
}

/// Adds to weight_gradient [Kernel²][channels] what `rows` rows of output gradients make of a padded map.
template <int Kernel, class S>
void padded_depthwise_weight_gradient(const S* top, std::int64_t row_stride, std::int64_t stride,
                                      std::int64_t dilation, std::int64_t channels, std::int64_t width,
                                      std::int64_t rows, const S* gradient, S* weight_gradient) {
    // As many taps at once as the registers hold.
    constexpr int taps_at_once = Kernel <= 3 ? Kernel * Kernel : Kernel;
    for_each_vector<S>(channels, [&](std::int64_t c, auto fetch, auto put) {
        for (int first = 0; first < Kernel * Kernel; first += taps_at_once) {
            Vector<S> sums[taps_at_once];
            BANTAM_UNROLL(9)
            for (int i = 0; i < taps_at_once; ++i) sums[i] = fetch(weight_gradient + (first + i) * channels + c);
            const std::int64_t row = dilation * row_stride;
            const std::int64_t column = dilation * channels;
            for (std::int64_t y = 0; y < rows; ++y) {
                const S* from = top + y * stride * row_stride + first / Kernel * row + c;
                const S* g_row = gradient + y * width * channels + c;
                for (std::int64_t x = 0; x < width; ++x, from += stride * channels) {
                    const Vector<S> g = fetch(g_row + x * channels);
                    BANTAM_UNROLL(9)
                    for (int i = 0; i < taps_at_once; ++i)
                        sums[i] += g * fetch(from + i / Kernel * row + i % Kernel * column);
                }
            }
            BANTAM_UNROLL(9)
            for (int i = 0; i < taps_at_once; ++i) put(weight_gradient + (first + i) * channels + c, sums[i]);
        }
    });
}

/// Depthwise convolutions take a sample at a time, with its padding written out.
template <int Kernel, int Stride, ConvOptions Options, Shape Input, class S>
struct HookedConvolution<DepthwiseConv2d<Kernel, Stride, Options>, Input, S> {
    using Conv = DepthwiseConv2d<Kernel, Stride, Options>;
    using Plain = Operation<Conv, Input, S>;
    static constexpr Shape output = Conv::output_shape(Input);
    static constexpr std::int64_t channels = Input.channels;

    /// A map of `shape` with `padding` on each side.
    template <Shape Map, std::int64_t Padding>
    struct Padded {
        static constexpr std::int64_t row_stride = (Map.width + 2 * Padding) * channels;
        static constexpr std::int64_t size = (Map.height + 2 * Padding) * row_stride;
        static S* row(S* map, std::int64_t y) { return map + (y + Padding) * row_stride + Padding * channels; }
        static void clear(S* map) {
            if (Padding > 0) std::fill(map, map + size, S{0});
        }
        /// Rows are handed over where they belong; what lies elsewhere is copied.
        template <class Rows>
        static void fill(const Rows& rows, std::int64_t n, S* map) {
            for (std::int64_t y = 0; y < Map.height; ++y) {
                S* to = row(map, y);
                const S* from = rows.rows((n * Map.height + y) * Map.width, Map.width, to);
                if (from != to) std::copy(from, from + Map.width * channels, to);
            }
        }
    };
    using PaddedInput = Padded<Input, Conv::padding>;
    static constexpr std::int64_t mirrored_padding = Plain::mirrors ? Conv::dilation * (Kernel - 1) - Conv::padding : 0;
    using PaddedGradient = Padded<output, mirrored_padding>;
    static constexpr std::int64_t scratch = PaddedInput::size + PaddedGradient::size + Input.width * channels;

    template <class Source, class Wrote>
    static void forward(Chunk chunk, const Weights<S>& weights, const Source& source, S* z, Wrote&& wrote,
                        S* padded) {
        const S* bias = Conv::bias ? weights.parameters + Plain::weight_count : nullptr;
        PaddedInput::clear(padded);
        for (std::int64_t n = chunk.first; n < chunk.first + chunk.count; ++n) {
            PaddedInput::fill(source, n, padded);
            for (std::int64_t y = 0; y < output.height; ++y) {
                const std::int64_t row = (n * output.height + y) * output.width;
                padded_depthwise_row<Kernel, S>(padded + y * Stride * PaddedInput::row_stride, PaddedInput::row_stride,
                                                Stride, Conv::dilation, channels, output.width, weights.packed, bias,
                                                z + row * channels);
                wrote(row, output.width);
            }
        }
    }

    template <class Source, class Gradient, class Sink>
    static void backward(Chunk chunk, const Weights<S>& weights, const Source& source, const Gradient& gradient,
                         const Sink& sink, S* partial, S* padded) {
        S* padded_gradient = padded + PaddedInput::size;
        S* row_gradient = padded_gradient + PaddedGradient::size;
        PaddedInput::clear(padded);
        PaddedGradient::clear(padded_gradient);
        for (std::int64_t n = chunk.first; n < chunk.first + chunk.count; ++n) {
            PaddedInput::fill(source, n, padded);
            PaddedGradient::fill(gradient, n, padded_gradient);
            for (std::int64_t y = 0; y < output.height; ++y) {
                const S* dz = PaddedGradient::row(padded_gradient, y);
                padded_depthwise_weight_gradient<Kernel, S>(padded + y * Stride * PaddedInput::row_stride,
                                                            PaddedInput::row_stride, Stride, Conv::dilation, channels,
                                                            output.width, 1, dz, partial);
                if constexpr (Conv::bias) add_row_sums<S>(output.width, channels, dz, partial + Plain::weight_count);
            }
            if (!sink.wanted()) continue;
            for (std::int64_t y = 0; y < Input.height; ++y) {
                if constexpr (Plain::mirrors)
                    padded_depthwise_row<Kernel, S>(padded_gradient + y * PaddedGradient::row_stride,
                                                    PaddedGradient::row_stride, 1, Conv::dilation, channels,
                                                    Input.width, weights.packed + Plain::weight_count, nullptr,
                                                    row_gradient);
                else
                    depthwise_input_gradient_row<Kernel>(Plain::extents, y, padded_gradient, weights.packed,
                                                         row_gradient);
                sink((n * Input.height + y) * Input.width, Input.width, row_gradient);
            }
        }
    }
};

}  // namespace bantam::cpu
