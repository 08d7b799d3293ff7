// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/cpu/operation.hpp>
#include <bantam/cpu/pointwise.hpp>
#include <bantam/cpu/simd.hpp>
#include <bantam/layers/depthwise_conv2d.hpp>

#include <algorithm>
#include <cstdint>

namespace bantam::cpu {

/// Extents of a depthwise window at run time, so that few kernels serve every layer.
struct DepthwiseExtents {
    std::int64_t in_height, in_width, out_height, out_width, channels;
    std::int64_t stride, dilation, padding;

    /// Output columns whose taps all lie inside the map: [first, last).
    std::int64_t first_inner(std::int64_t) const { return std::min(out_width, (padding + stride - 1) / stride); }
    std::int64_t last_inner(std::int64_t kernel) const {
        const std::int64_t room = in_width - 1 - (kernel - 1) * dilation + padding;
        return room < 0 ? first_inner(kernel)
                        : std::max(first_inner(kernel), std::min(out_width, room / stride + 1));
    }
};

namespace detail {

/// out[c] = Σ over (source, weight) pairs of source[c] · weight[c], plus the bias where there is one.
template <class S>
inline void sum_taps(std::int64_t pairs, const S* const* sources, const S* const* weights, const S* bias,
                     std::int64_t channels, S* out) {
    for_each_vector<S>(channels, [&](std::int64_t c, auto fetch, auto put) {
        Vector<S> sum = bias ? fetch(bias + c) : Vector<S>{};
        for (std::int64_t i = 0; i < pairs; ++i) sum += fetch(sources[i] + c) * fetch(weights[i] + c);
        put(out + c, sum);
    });
}

}  // namespace detail

/// One sample: out[y, x, c] = bias[c] + Σ in[y·stride − padding + ky·dilation, …, c] · weight[ky, kx, c].
/// Weights lie tap by tap, [Kernel²][channels].
template <int Kernel, class S>
void depthwise_forward(const DepthwiseExtents& e, const S* in, const S* weights, const S* bias, S* out) {
    const std::int64_t channels = e.channels;
    const std::int64_t first = e.first_inner(Kernel);
    const std::int64_t last = e.last_inner(Kernel);
    const S* sources[Kernel * Kernel];
    const S* factors[Kernel * Kernel];
    for (std::int64_t y = 0; y < e.out_height; ++y) {
        const std::int64_t top = y * e.stride - e.padding;
        const auto edge = [&](std::int64_t x) {
            std::int64_t pairs = 0;
            for (std::int64_t ky = 0; ky < Kernel; ++ky) {
                const std::int64_t sy = top + ky * e.dilation;
                if (sy < 0 || sy >= e.in_height) continue;
                for (std::int64_t kx = 0; kx < Kernel; ++kx) {
                    const std::int64_t sx = x * e.stride - e.padding + kx * e.dilation;
                    if (sx < 0 || sx >= e.in_width) continue;
                    sources[pairs] = in + (sy * e.in_width + sx) * channels;
                    factors[pairs++] = weights + (ky * Kernel + kx) * channels;
                }
            }
            detail::sum_taps(pairs, sources, factors, bias, channels, out + (y * e.out_width + x) * channels);
        };
        const bool rows_inside = top >= 0 && top + (Kernel - 1) * e.dilation < e.in_height;
        const std::int64_t inner_end = rows_inside && Kernel <= 3 ? last : first;
        for (std::int64_t x = 0; x < first; ++x) edge(x);
        if constexpr (Kernel <= 3) {
            if (rows_inside)
                for_each_vector<S>(channels, [&](std::int64_t c, auto fetch, auto put) {
                    Vector<S> w[Kernel * Kernel];
                    BANTAM_UNROLL(9)
                    for (int tap = 0; tap < Kernel * Kernel; ++tap) w[tap] = fetch(weights + tap * channels + c);
                    const Vector<S> start = bias ? fetch(bias + c) : Vector<S>{};
                    const std::int64_t row = e.dilation * e.in_width * channels;
                    const std::int64_t column = e.dilation * channels;
                    const S* from = in + (top * e.in_width + first * e.stride - e.padding) * channels + c;
                    S* to = out + (y * e.out_width + first) * channels + c;
                    for (std::int64_t x = first; x < last; ++x, from += e.stride * channels, to += channels) {
                        Vector<S> sum = start;
                        BANTAM_UNROLL(9)
                        for (int tap = 0; tap < Kernel * Kernel; ++tap)
                            sum += fetch(from + tap / Kernel * row + tap % Kernel * column) * w[tap];
                        put(to, sum);
                    }
                });
        }
        for (std::int64_t x = inner_end; x < e.out_width; ++x) edge(x);
    }
}

/// Row `y` of one sample: in_row[x, c] = Σ over the taps that read (y, x) of out_gradient · weight.
template <int Kernel, class S>
void depthwise_input_gradient_row(const DepthwiseExtents& e, std::int64_t y, const S* out_gradient, const S* weights,
                                  S* in_row) {
    const S* sources[Kernel * Kernel];
    const S* factors[Kernel * Kernel];
    std::int64_t row_taps[Kernel], row_positions[Kernel];
    std::int64_t rows = 0;
    for (std::int64_t ky = 0; ky < Kernel; ++ky) {
        const std::int64_t scaled = y + e.padding - ky * e.dilation;
        if (scaled < 0 || scaled % e.stride != 0 || scaled / e.stride >= e.out_height) continue;
        row_taps[rows] = ky;
        row_positions[rows++] = scaled / e.stride;
    }
    for (std::int64_t x = 0; x < e.in_width; ++x) {
        std::int64_t pairs = 0;
        for (std::int64_t kx = 0; kx < Kernel; ++kx) {
            const std::int64_t scaled = x + e.padding - kx * e.dilation;
            if (scaled < 0 || scaled % e.stride != 0 || scaled / e.stride >= e.out_width) continue;
            for (std::int64_t r = 0; r < rows; ++r) {
                sources[pairs] = out_gradient + (row_positions[r] * e.out_width + scaled / e.stride) * e.channels;
                factors[pairs++] = weights + (row_taps[r] * Kernel + kx) * e.channels;
            }
        }
        detail::sum_taps<S>(pairs, sources, factors, nullptr, e.channels, in_row + x * e.channels);
    }
}

/// One sample, added: weight_gradient[ky, kx, c] += Σ out_gradient[y, x, c] · in[…, c].
template <int Kernel, class S>
void depthwise_weight_gradient(const DepthwiseExtents& e, const S* in, const S* out_gradient,
                               S* weight_gradient) {
    const std::int64_t channels = e.channels;
    const std::int64_t first = e.first_inner(Kernel);
    const std::int64_t last = e.last_inner(Kernel);
    const std::int64_t column = e.dilation * channels;
    for (std::int64_t y = 0; y < e.out_height; ++y) {
        for (std::int64_t ky = 0; ky < Kernel; ++ky) {
            const std::int64_t sy = y * e.stride - e.padding + ky * e.dilation;
            if (sy < 0 || sy >= e.in_height) continue;
            for_each_vector<S>(channels, [&](std::int64_t c, auto fetch, auto put) {
                S* gradient = weight_gradient + ky * Kernel * channels + c;
                const S* row = in + sy * e.in_width * channels + c;
                const S* from = out_gradient + y * e.out_width * channels + c;
                Vector<S> sums[Kernel];
                BANTAM_UNROLL(7)
                for (int kx = 0; kx < Kernel; ++kx) sums[kx] = fetch(gradient + kx * channels);
                const auto edge = [&](std::int64_t x) {
                    const Vector<S> g = fetch(from + x * channels);
                    BANTAM_UNROLL(7)
                    for (int kx = 0; kx < Kernel; ++kx) {
                        const std::int64_t sx = x * e.stride - e.padding + kx * e.dilation;
                        if (sx >= 0 && sx < e.in_width) sums[kx] += g * fetch(row + sx * channels);
                    }
                };
                for (std::int64_t x = 0; x < first; ++x) edge(x);
                const S* source = row + (first * e.stride - e.padding) * channels;
                for (std::int64_t x = first; x < last; ++x, source += e.stride * channels) {
                    const Vector<S> g = fetch(from + x * channels);
                    BANTAM_UNROLL(7)
                    for (int kx = 0; kx < Kernel; ++kx) sums[kx] += g * fetch(source + kx * column);
                }
                for (std::int64_t x = last; x < e.out_width; ++x) edge(x);
                BANTAM_UNROLL(7)
                for (int kx = 0; kx < Kernel; ++kx) put(gradient + kx * channels, sums[kx]);
            });
        }
    }
}

template <int Kernel, int Stride, ConvOptions Options, Shape Input, class S>
struct Operation<DepthwiseConv2d<Kernel, Stride, Options>, Input, S> : OperationSizes {
    using Conv = DepthwiseConv2d<Kernel, Stride, Options>;
    static constexpr Shape output_shape = Conv::output_shape(Input);
    static constexpr std::int64_t channels = Input.channels;
    static constexpr std::int64_t taps = std::int64_t{Kernel} * Kernel;
    static constexpr std::int64_t weight_count = channels * taps;
    // At stride 1 the way back is the same kernel with the taps in reverse order.
    static constexpr bool mirrors = Stride == 1 && Conv::dilation * (Kernel - 1) >= Conv::padding;
    static constexpr std::int64_t packed = (mirrors ? 2 : 1) * weight_count;
    static constexpr std::int64_t partials = weight_count + (Conv::bias ? channels : 0);
    static constexpr DepthwiseExtents extents{Input.height,        Input.width,    output_shape.height,
                                              output_shape.width,  channels,       Stride,
                                              Conv::dilation,      Conv::padding};

    static constexpr DepthwiseExtents mirrored_extents{
        output_shape.height, output_shape.width, Input.height, Input.width, channels, 1, Conv::dilation,
        Conv::dilation*(Kernel - 1) - Conv::padding};

    /// [channel][tap] to [tap][channel], so that neighbouring channels share a vector.
    static void prepare(const S* parameters, S* packed_weights) {
        for (std::int64_t c = 0; c < channels; ++c)
            for (std::int64_t tap = 0; tap < taps; ++tap) {
                packed_weights[tap * channels + c] = parameters[c * taps + tap];
                if (mirrors) packed_weights[weight_count + (taps - 1 - tap) * channels + c] = parameters[c * taps + tap];
            }
    }

    static void forward(const Pass<S>& pass, const Weights<S>& weights, const S* input, S* output, S*) {
        const S* bias = Conv::bias ? weights.parameters + weight_count : nullptr;
        for_each_chunk(pass, [&](Chunk chunk, S*) {
            for (std::int64_t n = chunk.first; n < chunk.first + chunk.count; ++n)
                depthwise_forward<Kernel>(extents, input + n * element_count(Input), weights.packed, bias,
                                          output + n * element_count(output_shape));
        });
    }

    static void backward(const Pass<S>& pass, const Weights<S>& weights, const S* input, const S*,
                         const S* output_gradient, S* input_gradient, S* parameter_gradient) {
        for_each_chunk(pass, [&](Chunk chunk, S*) {
            S* partial = pass.partials + chunk.index * partials;
            std::fill(partial, partial + partials, S{0});
            for (std::int64_t n = chunk.first; n < chunk.first + chunk.count; ++n) {
                const S* gradient = output_gradient + n * element_count(output_shape);
                depthwise_weight_gradient<Kernel>(extents, input + n * element_count(Input), gradient, partial);
                if (!input_gradient) continue;
                S* to = input_gradient + n * element_count(Input);
                if constexpr (mirrors)
                    depthwise_forward<Kernel, S>(mirrored_extents, gradient, weights.packed + weight_count, nullptr, to);
                else
                    for (std::int64_t y = 0; y < Input.height; ++y)
                        depthwise_input_gradient_row<Kernel>(extents, y, gradient, weights.packed,
                                                             to + y * Input.width * channels);
            }
            if constexpr (Conv::bias)
                add_row_sums<S>(chunk.count * pixel_count(output_shape), channels,
                            output_gradient + chunk.first * element_count(output_shape), partial + weight_count);
        });
        finish_gradient(pass, parameter_gradient);
    }

    /// Joins the chunks' partial sums and puts them into PyTorch's order.
    static void finish_gradient(const Pass<S>& pass, S* parameter_gradient) {
        add_partials(pass, pass.partials, partials, partials, pass.partials);
        for (std::int64_t c = 0; c < channels; ++c)
            for (std::int64_t tap = 0; tap < taps; ++tap)
                parameter_gradient[c * taps + tap] = pass.partials[tap * channels + c];
        std::copy(pass.partials + weight_count, pass.partials + partials, parameter_gradient + weight_count);
    }
};

}  // namespace bantam::cpu
