// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/cpu/pointwise.hpp>
#include <bantam/layers/conv2d.hpp>

#include <algorithm>
#include <cstdint>

namespace bantam::cpu {

/// A convolution as products over tiles of output positions: the taps of a tile are gathered side by
/// side ("im2col"), a few taps at a time so that a tile and its weights stay in the second-level cache.
template <class Conv, Shape Input, class S>
struct GatheredConvolution : OperationSizes {
    static constexpr Shape output_shape = Conv::output_shape(Input);
    static constexpr std::int64_t out_pixels = pixel_count(output_shape);
    static constexpr std::int64_t groups = Conv::groups;
    static constexpr std::int64_t in = Input.channels / groups;     // a group
    static constexpr std::int64_t out = Conv::out_channels / groups;  // a group
    static constexpr std::int64_t taps = std::int64_t{Conv::kernel} * Conv::kernel;

    static constexpr std::int64_t block_count = (taps * in + 511) / 512 < taps ? (taps * in + 511) / 512 : taps;
    static constexpr std::int64_t block_taps = (taps + block_count - 1) / block_count;
    static constexpr std::int64_t tile = 96;

    static constexpr std::int64_t group_weights = out * taps * in;
    static constexpr std::int64_t weight_count = groups * group_weights;
    static constexpr std::int64_t forward_panels = packed_size<S>(taps * in, out);
    // The way back packs each block of taps on its own.
    static constexpr std::int64_t block_panels = packed_size<S>(out, block_taps * in);
    static constexpr std::int64_t group_panels = forward_panels + block_count * block_panels;
    static constexpr std::int64_t packed = weight_count + groups * group_panels;
    static constexpr std::int64_t scratch = 2 * tile * block_taps * in + transposed_scratch<S>;
    static constexpr std::int64_t partials = weight_count + (Conv::bias ? Conv::out_channels : 0);

    /// Calls `body(block, first tap, taps)`.
    template <class Body>
    static void for_each_block(Body&& body) {
        for (std::int64_t block = 0; block < block_count; ++block) {
            const std::int64_t first = block * block_taps;
            if (first < taps) body(block, first, std::min(block_taps, taps - first));
        }
    }

    static void prepare(const S* parameters, S* packed_weights) {
        S* gathered = packed_weights;  // [group][out][tap][in]
        for (std::int64_t o = 0; o < groups * out; ++o)
            for (std::int64_t c = 0; c < in; ++c)
                for (std::int64_t tap = 0; tap < taps; ++tap)
                    gathered[(o * taps + tap) * in + c] = parameters[(o * in + c) * taps + tap];
        for (std::int64_t group = 0; group < groups; ++group) {
            const S* weights = gathered + group * group_weights;
            S* panels = packed_weights + weight_count + group * group_panels;
            for_each_block([&](std::int64_t block, std::int64_t first, std::int64_t count) {
                pack_panels<S>(count * in, out, weights + first * in, 1, taps * in,
                               panels + packed_size<S>(first * in, out));
                pack_panels<S>(out, count * in, weights + first * in, taps * in, 1,
                               panels + forward_panels + block * block_panels);
            });
        }
    }

    /// Calls `body(row, tap, offset)` for `rows` positions from `first_row` (counted over the samples) and
    /// `tap_count` taps from `first_tap`; offset is where the tap's first channel lies, or −1 in the padding.
    template <class Body>
    static void for_each_tap(std::int64_t first_row, std::int64_t rows, std::int64_t first_tap,
                             std::int64_t tap_count, Body&& body) {
        for (std::int64_t row = 0; row < rows; ++row) {
            const std::int64_t pixel = (first_row + row) % out_pixels;
            const std::int64_t sample = (first_row + row) / out_pixels;
            const std::int64_t top = pixel / output_shape.width * Conv::stride - Conv::padding;
            const std::int64_t left = pixel % output_shape.width * Conv::stride - Conv::padding;
            for (std::int64_t tap = 0; tap < tap_count; ++tap) {
                const std::int64_t y = top + (first_tap + tap) / Conv::kernel * Conv::dilation;
                const std::int64_t x = left + (first_tap + tap) % Conv::kernel * Conv::dilation;
                const bool inside = y >= 0 && y < Input.height && x >= 0 && x < Input.width;
                body(row, tap,
                     inside ? ((sample * Input.height + y) * Input.width + x) * Input.channels : std::int64_t{-1});
            }
        }
    }

    static void gather(const S* input, std::int64_t first_row, std::int64_t rows, std::int64_t first_tap,
                       std::int64_t tap_count, S* columns) {
        for_each_tap(first_row, rows, first_tap, tap_count,
                     [&](std::int64_t row, std::int64_t tap, std::int64_t offset) {
                         S* to = columns + (row * tap_count + tap) * in;
                         if (offset < 0)
                             std::fill(to, to + in, S{0});
                         else
                             std::copy(input + offset, input + offset + in, to);
                     });
    }

    /// Whole samples: `input` and `output` begin at the first of `count`.
    static void forward_samples(std::int64_t count, const Weights<S>& weights, const S* input, S* output,
                                S* columns) {
        const std::int64_t all = count * out_pixels;
        for (std::int64_t row = 0; row < all; row += tile) {
            const std::int64_t rows = std::min(tile, all - row);
            S* to = output + row * Conv::out_channels;
            for (std::int64_t group = 0; group < groups; ++group) {
                const S* panels = weights.packed + weight_count + group * group_panels;
                for_each_block([&](std::int64_t block, std::int64_t first, std::int64_t taps_here) {
                    gather(input + group * in, row, rows, first, taps_here, columns);
                    const S* block_weights = panels + packed_size<S>(first * in, out);
                    const auto product = block == 0 ? &multiply<false, S> : &multiply<true, S>;
                    product(rows, out, taps_here * in, columns, taps_here * in, block_weights, to + group * out,
                            Conv::out_channels);
                });
            }
            if constexpr (Conv::bias) add_bias<S>(rows, Conv::out_channels, weights.parameters + weight_count, to);
        }
    }

    /// Whole samples: adds to `partial` ([group][out][tap][in], bias) and writes `input_gradient`, if any.
    static void backward_samples(std::int64_t count, const Weights<S>& weights, const S* input,
                                 const S* output_gradient, S* input_gradient, S* partial, S* columns) {
        const std::int64_t all = count * out_pixels;
        S* column_gradients = columns + tile * block_taps * in;
        S* scratch_here = column_gradients + tile * block_taps * in;
        if (input_gradient) std::fill(input_gradient, input_gradient + count * element_count(Input), S{0});
        for (std::int64_t row = 0; row < all; row += tile) {
            const std::int64_t rows = std::min(tile, all - row);
            for (std::int64_t group = 0; group < groups; ++group) {
                const S* gradient = output_gradient + row * Conv::out_channels + group * out;
                const S* panels = weights.packed + weight_count + group * group_panels + forward_panels;
                for_each_block([&](std::int64_t block, std::int64_t first, std::int64_t taps_here) {
                    gather(input + group * in, row, rows, first, taps_here, columns);
                    multiply_transposed(out, taps_here * in, rows, gradient, std::int64_t{Conv::out_channels}, columns,
                                        taps_here * in, partial + group * group_weights + first * in, taps * in,
                                        scratch_here);
                    if (!input_gradient) return;
                    multiply<false>(rows, taps_here * in, out, gradient, std::int64_t{Conv::out_channels},
                                    panels + block * block_panels, column_gradients, taps_here * in);
                    S* to = input_gradient + group * in;
                    for_each_tap(row, rows, first, taps_here,
                                 [&](std::int64_t r, std::int64_t tap, std::int64_t offset) {
                                     if (offset < 0) return;
                                     const S* from = column_gradients + (r * taps_here + tap) * in;
                                     for (std::int64_t c = 0; c < in; ++c) to[offset + c] += from[c];
                                 });
                });
            }
        }
        if constexpr (Conv::bias)
            add_row_sums<S>(all, Conv::out_channels, output_gradient, partial + weight_count);
    }

    /// Joins the chunks' partial sums and puts them into PyTorch's order.
    static void finish_gradient(const Pass<S>& pass, S* parameter_gradient) {
        add_partials(pass, pass.partials, partials, partials, pass.partials);
        for (std::int64_t o = 0; o < groups * out; ++o)
            for (std::int64_t c = 0; c < in; ++c)
                for (std::int64_t tap = 0; tap < taps; ++tap)
                    parameter_gradient[(o * in + c) * taps + tap] = pass.partials[(o * taps + tap) * in + c];
        std::copy(pass.partials + weight_count, pass.partials + partials, parameter_gradient + weight_count);
    }

    static void forward(const Pass<S>& pass, const Weights<S>& weights, const S* input, S* output, S*) {
        for_each_chunk(pass, [&](Chunk chunk, S* columns) {
            forward_samples(chunk.count, weights, input + chunk.first * element_count(Input),
                            output + chunk.first * element_count(output_shape), columns);
        });
    }

    static void backward(const Pass<S>& pass, const Weights<S>& weights, const S* input, const S*,
                         const S* output_gradient, S* input_gradient, S* parameter_gradient) {
        for_each_chunk(pass, [&](Chunk chunk, S* columns) {
            const std::int64_t first_element = chunk.first * element_count(Input);
            S* partial = pass.partials + chunk.index * partials;
            std::fill(partial, partial + partials, S{0});
            backward_samples(chunk.count, weights, input + first_element,
                             output_gradient + chunk.first * element_count(output_shape),
                             input_gradient ? input_gradient + first_element : nullptr, partial, columns);
        });
        finish_gradient(pass, parameter_gradient);
    }
};

template <int Out, int Kernel, int Stride, ConvOptions Options, Shape Input, class S>
struct Operation<Conv2d<Out, Kernel, Stride, Options>, Input, S>
    : GatheredConvolution<Conv2d<Out, Kernel, Stride, Options>, Input, S> {};

template <int Out, ConvOptions Options, Shape Input, class S>
    requires(Options.groups == 1 && Options.padding <= 0)
struct Operation<Conv2d<Out, 1, 1, Options>, Input, S>
    : PointwiseOperation<pixel_count(Input), Input.channels, Out, Options.bias, S> {};

}  // namespace bantam::cpu
