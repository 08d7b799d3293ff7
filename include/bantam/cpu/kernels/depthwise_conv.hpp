// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/core/shape.hpp>
#include <bantam/cpu/kernels/epilogue.hpp>
#include <bantam/cpu/kernels/line_buffer.hpp>
#include <bantam/cpu/kernels/pointwise_conv.hpp>
#include <bantam/cpu/kernels/source.hpp>
#include <bantam/cpu/runtime/operation.hpp>
#include <bantam/cpu/runtime/simd.hpp>
#include <bantam/layers/conv_geometry.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <utility>

namespace bantam::cpu {

/// One tap of a line of a window, as offsets in scalars.
struct TapOffset {
    Index source;  ///< from the first value under the window
    Index weight;  ///< from the line's first weight
};

/// out[x, c] = epilogue(Σ over `Lines` lines and `Taps` of source · weight) for `Count` positions x, which are
/// `InStep` scalars apart in the source and `OutStep` in the output.
template <Index Channels, Index InStep, Index OutStep, Index Count, auto Taps, std::size_t Lines, class S,
          RegisterEpilogue<S> Epilogue>
void depthwise_window_sums(const std::array<const S*, Lines>& sources, const std::array<const S*, Lines>& weights,
                           const Epilogue& epilogue, S* out) {
    // Few weights stay in registers; `unroll` neighboring positions are computed together.
    constexpr std::size_t columns = Taps.size();
    constexpr bool keep_weights = Lines * columns <= 9;
    constexpr Index unroll = vector_bytes == 64 ? 8 : 4;
    for_each_vector<S, Channels>([&](Index c, auto load_vector, auto store_vector) {
        const auto epilogue_columns = epilogue.columns(c, load_vector);
        const auto weight = [&](std::size_t line, std::size_t tap) {
            return load_vector(weights[line] + Taps[tap].weight + c);
        };
        const S* from[std::max<std::size_t>(1, Lines)];
        Vector<S> kept[keep_weights && Lines * columns > 0 ? Lines * columns : 1];
        for (std::size_t line = 0; line < Lines; ++line) from[line] = sources[line] + c;
        if constexpr (keep_weights) {
            BANTAM_UNROLL(3)
            for (std::size_t line = 0; line < Lines; ++line) {
                BANTAM_UNROLL(3)
                for (std::size_t tap = 0; tap < columns; ++tap) kept[line * columns + tap] = weight(line, tap);
            }
        }
        const auto positions = [&, to = out + c]<int Unroll>(Index x) {
            Vector<S> sums[std::size_t{Unroll}];
            BANTAM_UNROLL(8)
            for (int i = 0; i < Unroll; ++i) sums[i] = Vector<S>{};
            const auto add = [&](std::size_t line, std::size_t tap, const Vector<S>& w) {
                BANTAM_UNROLL(8)
                for (int i = 0; i < Unroll; ++i)
                    sums[i] += load_vector(from[line] + Taps[tap].source + (x + i) * InStep) * w;
            };
            if constexpr (keep_weights) {
                BANTAM_UNROLL(3)
                for (std::size_t line = 0; line < Lines; ++line) {
                    BANTAM_UNROLL(3)
                    for (std::size_t tap = 0; tap < columns; ++tap) add(line, tap, kept[line * columns + tap]);
                }
            } else {
                for (std::size_t line = 0; line < Lines; ++line) {
                    BANTAM_UNROLL(7)
                    for (std::size_t tap = 0; tap < columns; ++tap) add(line, tap, weight(line, tap));
                }
            }
            BANTAM_UNROLL(8)
            for (int i = 0; i < Unroll; ++i) store_vector(to + (x + i) * OutStep, epilogue_columns(sums[i]));
        };
        constexpr Index whole = Count / unroll * unroll;
        for (Index x = 0; x < whole; x += unroll) positions.template operator()<unroll>(x);
        if constexpr (whole < Count) positions.template operator()<Count - whole>(whole);
    });
}

/// weight_gradient[ky, kx, c] += Σ_x gradient[x, c] · sources[ky][x · in_step + kx · tap_step + c] for x < count.
template <int Rows, int Columns, Index Channels, class S>
void depthwise_weight_gradient(const std::array<const S*, std::size_t{Rows}>& sources, Index in_step, Index tap_step,
                               Index count, const S* gradient, S* weight_gradient) {
    // As many lines of taps as fit into registers, for a tile of positions that stays in the first-level cache.
    constexpr int tap_lines = Rows * Columns <= 9 ? Rows : 1;
    constexpr Index tile = 16;
    for (Index x0 = 0; x0 < count; x0 += tile) {
        const Index end = std::min(x0 + tile, count);
        for_each_vector<S, Channels>([&](Index c, auto load_vector, auto store_vector) {
            for (int first = 0; first < Rows; first += tap_lines) {
                constexpr int taps = tap_lines * Columns;
                S* to = weight_gradient + first * Columns * Channels + c;
                Vector<S> sums[std::size_t{taps}];
                const S* from[std::size_t{tap_lines}];
                BANTAM_UNROLL(9)
                for (int tap = 0; tap < taps; ++tap) sums[tap] = load_vector(to + tap * Channels);
                BANTAM_UNROLL(3)
                for (int line = 0; line < tap_lines; ++line)
                    from[line] = sources[static_cast<std::size_t>(first + line)] + c;
                for (Index x = x0; x < end; ++x) {
                    const Vector<S> g = load_vector(gradient + x * Channels + c);
                    BANTAM_UNROLL(9)
                    for (int tap = 0; tap < taps; ++tap)
                        sums[tap] += g * load_vector(from[tap / Columns] + x * in_step + tap % Columns * tap_step);
                }
                BANTAM_UNROLL(9)
                for (int tap = 0; tap < taps; ++tap) store_vector(to + tap * Channels, sums[tap]);
            }
        });
    }
}

/// A convolution of each channel by itself. The window slides down the map, a few channels at a time.
template <class Conv, Shape Input, class S>
struct DepthwiseKernel : OperationSizes {
    using Geometry = ConvGeometry<Input, typename Conv::Window>;
    static constexpr Shape input = Input;
    static constexpr Shape output = Conv::output_shape(Input);
    static constexpr Index channels = Input.channels;
    using Rows = typename Geometry::Rows;
    using Columns = typename Geometry::Columns;
    static constexpr Index taps = Geometry::taps;
    static constexpr Index weight_count = channels * taps;
    static constexpr Index packed_size = weight_count;
    static constexpr Index partial_size = weight_count + (Conv::bias ? channels : 0);

    // Forward, the first and last positions of a line skip the taps in the padding. Backward, lines have their
    // padding in memory, so that no tap needs a test.
    template <Index LinesPerFetch>
    using ForwardLines =
        LineBuffer<Input, 0, (Rows::halo + 2 * LinesPerFetch - 1) / LinesPerFetch * LinesPerFetch, S, LinesPerFetch>;
    using InputLines = LineBuffer<Input, Columns::padding, Rows::halo + 1, S>;
    static constexpr Index gradient_padding = Geometry::gradient_padding;
    using GradientLines = LineBuffer<output, gradient_padding, Rows::halo / Rows::stride + 1, S>;
    static constexpr Index scratch_size = InputLines::size + GradientLines::size + Input.width * channels;

    /// [channel][tap] to [tap][channel], so that neighboring channels form a vector.
    static void prepare(const S* parameters, S* packed) {
        for (Index c = 0; c < channels; ++c)
            for (Index tap = 0; tap < taps; ++tap) packed[tap * channels + c] = parameters[c * taps + tap];
    }

    template <RowSource Source, OutputEpilogue Epilogue>
    static void forward_chunk(Chunk chunk, const Weights<S>& weights, const Source& source, const Epilogue& epilogue,
                              S* scratch) {
        ForwardLines<1> buffer{scratch, chunk.first};
        for (Index n = chunk.first; n < chunk.first + chunk.count; ++n)
            for (Index y = 0; y < output.height; ++y) {
                const Index first = (n * output.height + y) * output.width;
                S* z = epilogue.output(first);
                forward_line(buffer, source, weights, n, y, z, IdentityEpilogue<S>{});
                epilogue.store(first, output.width, z);
            }
    }

    /// The output as rows on demand, see conv_operation.hpp.
    template <RowSource Source>
    class ConvSource {
        using Buffer = ForwardLines<lines_per_fetch(Input)>;

    public:
        static constexpr Index memory_size = Buffer::size;
        ConvSource(const Source& source, const Weights<S>& weights, Chunk chunk, S* memory)
            : source_{source}, weights_{weights}, buffer_{memory, chunk.first} {}

        template <RegisterEpilogue<S> Epilogue>
        void rows(Index first, Index count, S* to, const Epilogue& epilogue) const {
            for (Index line = first / output.width; line < (first + count) / output.width; ++line)
                forward_line(buffer_, source_, weights_, line / output.height, line % output.height,
                             to + (line * output.width - first) * channels, epilogue);
        }

    private:
        const Source& source_;
        const Weights<S>& weights_;
        mutable Buffer buffer_;
    };

    template <RowSource Source, RowSource Gradient, RowEpilogue Epilogue>
    static void backward_chunk(Chunk chunk, const Weights<S>& weights, const Source& source, const Gradient& gradient,
                               const Epilogue& epilogue, S* partial, S* scratch) {
        InputLines input_buffer{scratch, chunk.first};
        GradientLines gradient_buffer{scratch + InputLines::size, chunk.first};
        [[maybe_unused]] S* line_gradient = scratch + InputLines::size + GradientLines::size;
        for (Index n = chunk.first; n < chunk.first + chunk.count; ++n) {
            [[maybe_unused]] Index next = 0;  // the next line of dL/d(input) to compute
            for (Index y = 0; y < output.height; ++y) {
                input_buffer.fill_to(source, n, Rows::last_input(y));
                gradient_buffer.fill_to(gradient, n, y);
                const S* dz = gradient_buffer.line(n, y) + gradient_padding * channels;
                depthwise_weight_gradient<Rows::kernel_size, Columns::kernel_size, channels>(
                    window_lines(input_buffer, n, y), Columns::stride * channels, Columns::dilation * channels,
                    output.width, dz, partial);
                if constexpr (Conv::bias) add_row_sums<S>(output.width, channels, dz, partial + weight_count);
                if constexpr (!is_null_sink<Epilogue>) {
                    const Index end = Geometry::complete_rows(y);
                    for (; next < end; ++next) {
                        input_gradient_line(gradient_buffer, n, next, weights.packed, line_gradient);
                        epilogue.store((n * Input.height + next) * Input.width, Input.width, line_gradient);
                    }
                }
            }
        }
    }

    /// Adds up the chunks' weight gradients and writes them in PyTorch's layout.
    static void reduce_gradient(const Pass<S>& pass, S* parameter_gradient) {
        add_gradient_partials(pass, partial_size, parameter_gradient, [](const S* sums, Index size, S* to) {
            for (Index c = 0; c < channels; ++c)
                for (Index tap = 0; tap < taps; ++tap) to[c * taps + tap] = sums[tap * channels + c];
            std::copy(sums + weight_count, sums + size, to + weight_count);
        });
    }

private:
    using WindowLines = std::array<const S*, std::size_t{Rows::kernel_size}>;

    /// The input lines under the window of output line y of sample n.
    template <class Buffer>
    static WindowLines window_lines(const Buffer& buffer, Index n, Index y) {
        WindowLines lines;
        for (int ky = 0; ky < Rows::kernel_size; ++ky)
            lines[static_cast<std::size_t>(ky)] = buffer.line(n, Rows::input_position(y, Index{ky}));
        return lines;
    }

    /// The taps of output position `X` that are inside the map, as offsets from input position `Origin`.
    template <Index X, Index Origin>
    static constexpr auto taps_at = [] {
        constexpr auto inside = [](Index kx) { return Geometry::column_inside(Columns::input_position(X, kx)); };
        constexpr std::size_t count = [=] {
            std::size_t found = 0;
            for (Index kx = 0; kx < Columns::kernel_size; ++kx) found += inside(kx);
            return found;
        }();
        std::array<TapOffset, count> result{};
        std::size_t i = 0;
        for (Index kx = 0; kx < Columns::kernel_size; ++kx)
            if (inside(kx)) result[i++] = {(Columns::input_position(X, kx) - Origin) * channels, kx * channels};
        return result;
    }();

    // The output positions [inner_begin, inner_end) have no tap in the padding.
    static constexpr Index inner_begin = Geometry::inner_begin, inner_end = Geometry::inner_end;

    /// Line y of sample n of the output.
    template <class Buffer, RowSource Source, RegisterEpilogue<S> Epilogue>
    static void forward_line(Buffer& buffer, const Source& source, const Weights<S>& weights, Index n, Index y, S* to,
                             const Epilogue& epilogue) {
        buffer.fill_to(source, n, Rows::last_input(y));
        const WindowLines lines = window_lines(buffer, n, y);
        WindowLines tap_lines;
        for (int ky = 0; ky < Rows::kernel_size; ++ky)
            tap_lines[static_cast<std::size_t>(ky)] = weights.packed + ky * Columns::kernel_size * channels;
        const auto conv_epilogue = bias_epilogue<Conv::bias>(weights.parameters + weight_count, epilogue);
        const auto edge = [&]<Index X>() {
            depthwise_window_sums<channels, 0, 0, 1, taps_at<X, 0>>(lines, tap_lines, conv_epilogue, to + X * channels);
        };
        const auto edges = [&]<Index First, Index... Xs>(std::integer_sequence<Index, Xs...>) {
            (edge.template operator()<First + Xs>(), ...);
        };
        edges.template operator()<0>(std::make_integer_sequence<Index, inner_begin>{});
        if constexpr (inner_begin < inner_end) {
            WindowLines inner_lines = lines;
            for (const S*& line : inner_lines) line += Columns::first_input(inner_begin) * channels;
            depthwise_window_sums<channels, Columns::stride * channels, channels, inner_end - inner_begin,
                                  taps_at<inner_begin, Columns::first_input(inner_begin)>>(
                inner_lines, tap_lines, conv_epilogue, to + inner_begin * channels);
        }
        edges.template operator()<inner_end>(std::make_integer_sequence<Index, output.width - inner_end>{});
    }

    /// The taps along an axis that contribute to input positions with (position + padding) % stride == Phase.
    template <class Axis, Index Phase>
    static constexpr auto taps_of_phase = [] {
        constexpr auto contributes = [](int k) { return k * Axis::dilation % Axis::stride == Phase; };
        constexpr std::size_t count = [=] {
            std::size_t found = 0;
            for (int k = 0; k < Axis::kernel_size; ++k) found += contributes(k);
            return found;
        }();
        std::array<TapOffset, count> result{};
        std::size_t i = 0;
        for (int k = 0; k < Axis::kernel_size; ++k)
            if (contributes(k)) result[i++] = {-(k * Axis::dilation - Phase) / Axis::stride * channels, k * channels};
        return result;
    }();

    /// Line y of sample n of dL/d(input).
    static void input_gradient_line(const GradientLines& gradient_buffer, Index n, Index y, const S* packed_weights,
                                    S* to) {
        // One phase of y and one of x, whose taps are known at compile time.
        const auto phase = [&]<Index PhaseY, Index PhaseX>() {
            constexpr auto taps_y = taps_of_phase<Rows, PhaseY>;
            std::array<const S*, taps_y.size()> sources, tap_lines;
            constexpr Index stride = Columns::stride, padding = Columns::padding;
            constexpr Index first = ((PhaseX - padding) % stride + stride) % stride;
            constexpr Index positions = (Input.width - first + stride - 1) / stride;
            for (std::size_t i = 0; i < taps_y.size(); ++i) {
                // Lines outside the map are zeros.
                sources[i] =
                    gradient_buffer.line(n, (y + Rows::padding - PhaseY) / Rows::stride + taps_y[i].source / channels) +
                    (gradient_padding + (first + padding - PhaseX) / stride) * channels;
                tap_lines[i] = packed_weights + taps_y[i].weight * Columns::kernel_size;
            }
            if constexpr (positions > 0)
                depthwise_window_sums<channels, channels, stride * channels, positions, taps_of_phase<Columns, PhaseX>>(
                    sources, tap_lines, IdentityEpilogue<S>{}, to + first * channels);
        };
        const auto line = [&]<Index PhaseY>() {
            [&]<Index... Phases>(std::integer_sequence<Index, Phases...>) {
                (phase.template operator()<PhaseY, Phases>(), ...);
            }(std::make_integer_sequence<Index, Columns::stride>{});
        };
        [&]<Index... Phases>(std::integer_sequence<Index, Phases...>) {
            static_cast<void>(
                (((y + Rows::padding) % Rows::stride == Phases && (line.template operator()<Phases>(), true)) || ...));
        }(std::make_integer_sequence<Index, Rows::stride>{});
    }
};

}  // namespace bantam::cpu
