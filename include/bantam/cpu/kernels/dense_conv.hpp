// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/core/shape.hpp>
#include <bantam/cpu/kernels/epilogue.hpp>
#include <bantam/cpu/kernels/gemm.hpp>
#include <bantam/cpu/kernels/line_buffer.hpp>
#include <bantam/cpu/kernels/pointwise_conv.hpp>
#include <bantam/cpu/kernels/source.hpp>
#include <bantam/cpu/runtime/operation.hpp>
#include <bantam/layers/conv_geometry.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <type_traits>

namespace bantam::cpu {

/// A convolution as matrix products whose left factor is the map itself: the lines of a window are segments of
/// it, and neighboring positions overlap (Dukhan, "The Indirect Convolution Algorithm", 2019). Output lines are
/// computed in bands, which are large enough to reuse weights that do not fit into the first-level cache.
template <class Conv, Shape Input, class S>
struct DenseKernel : OperationSizes {
    using Geometry = ConvGeometry<Input, typename Conv::Window>;
    static constexpr Shape input = Input;
    static constexpr Shape output = Conv::output_shape(Input);
    using Rows = typename Geometry::Rows;
    using Columns = typename Geometry::Columns;
    static constexpr Index groups = Conv::groups;
    static constexpr Index in = Input.channels / groups;       ///< input channels per group
    static constexpr Index out = Conv::out_channels / groups;  ///< output channels per group
    static constexpr Index taps = Geometry::taps;
    static constexpr Index group_weights = out * taps * in;
    static constexpr Index weight_count = groups * group_weights;

    // At stride 1 the gradient of the input is a convolution of dz with the taps in reverse order. Otherwise each
    // tap adds its contribution to a padded map.
    static constexpr bool input_gradient_is_conv =
        Conv::stride == 1 && Rows::halo >= Rows::padding && Columns::halo >= Columns::padding;
    static constexpr Index forward_panels = packed_panel_size<S>(taps * in, out);
    static constexpr Index backward_panels =
        input_gradient_is_conv ? packed_panel_size<S>(taps * out, in) : taps * packed_panel_size<S>(out, in);
    static constexpr Index packed_size = groups * (forward_panels + backward_panels);
    static constexpr Index partial_size = weight_count + (Conv::bias ? Conv::out_channels : 0);

    // Bands of whole samples if maps are small, else of some lines of one sample.
    static constexpr Index min_band_lines = (96 + output.width - 1) / output.width;
    static constexpr Index band_samples =
        min_band_lines >= output.height ? (min_band_lines + output.height - 1) / output.height : 0;
    static constexpr bool whole_samples = band_samples > 0;
    static constexpr Index band_lines = whole_samples ? band_samples * output.height : min_band_lines;
    static constexpr Index input_lines = whole_samples ? band_samples * Input.height : Rows::inputs_under(band_lines);
    using InputLines = LineBuffer<Input, Columns::padding, input_lines, S>;
    static constexpr Index gradient_padding = input_gradient_is_conv ? Columns::halo - Columns::padding : 0;
    static constexpr Index gradient_lines = whole_samples ? band_lines : band_lines + Rows::halo;
    using GradientLines = LineBuffer<output, gradient_padding, gradient_lines, S>;
    // Lines of dL/d(input) that follow from one band of dz, with those at the end of a sample; or a padded map.
    static constexpr Index input_gradient_lines = whole_samples ? band_samples * Input.height : band_lines + Rows::halo;
    static constexpr Shape padded = Geometry::padded_input;
    static constexpr Index input_gradient_size = input_gradient_is_conv
                                                     ? input_gradient_lines * Input.width * Input.channels
                                                     : element_count(padded) + Columns::stride * Input.channels;
    static constexpr Index scratch_size = InputLines::size + GradientLines::size + input_gradient_size;

    static void prepare(const S* parameters, S* packed) {
        // The weights of a group are [out][in][taps].
        constexpr Extent outputs{out, in * taps};
        constexpr Extent inputs{in, taps};
        for (Index group = 0; group < groups; ++group, packed += forward_panels + backward_panels) {
            const S* weights = parameters + group * group_weights;
            pack_panels(weights, {taps, 1}, inputs, outputs, packed);
            if (input_gradient_is_conv) {
                pack_panels(weights + taps - 1, {taps, -1}, outputs, inputs, packed + forward_panels);
            } else {
                for (Index tap = 0; tap < taps; ++tap)
                    pack_panels(weights + tap, {1, 0}, outputs, inputs,
                                packed + forward_panels + tap * packed_panel_size<S>(out, in));
            }
        }
    }

    template <RowSource Source, OutputEpilogue Epilogue>
    static void forward_chunk(Chunk chunk, const Weights<S>& weights, const Source& source, const Epilogue& epilogue,
                              S* scratch) {
        InputLines buffer{scratch, chunk.first};
        for_each_band(chunk.first * output.height, (chunk.first + chunk.count) * output.height,
                      [&](Index line, Index lines) {
                          const Index first = line * output.width;
                          S* z = epilogue.output(first);
                          forward_band(buffer, source, weights, line, lines, z, IdentityEpilogue<S>{});
                          epilogue.store(first, lines * output.width, z);
                      });
    }

    /// The output as rows on demand, see conv_operation.hpp.
    template <RowSource Source>
    class ConvSource {
        static constexpr Index fetch = lines_per_fetch(Input);
        // The caller may start a band in the middle of a sample.
        static constexpr Index capacity = input_lines + (whole_samples ? Rows::halo : 0) + fetch - 1;
        using Buffer = LineBuffer<Input, Columns::padding, capacity, S, fetch>;

    public:
        static constexpr Index memory_size = Buffer::size;
        ConvSource(const Source& source, const Weights<S>& weights, Chunk chunk, S* memory)
            : source_{source}, weights_{weights}, buffer_{memory, chunk.first} {}

        template <RegisterEpilogue<S> Epilogue>
        void rows(Index first, Index count, S* to, const Epilogue& epilogue) const {
            for_each_band(first / output.width, (first + count) / output.width, [&](Index line, Index lines) {
                forward_band(buffer_, source_, weights_, line, lines,
                             to + (line * output.width - first) * output.channels, epilogue);
            });
        }

    private:
        const Source& source_;
        const Weights<S>& weights_;
        mutable Buffer buffer_;
    };

    /// With NullSource or NullSink, the weight's or the input's gradient is not computed.
    template <class Source, RowSource Gradient, RowEpilogue Epilogue>
    static void backward_chunk(Chunk chunk, const Weights<S>& weights, const Source& source, const Gradient& gradient,
                               const Epilogue& epilogue, S* partial, S* scratch) {
        [[maybe_unused]] InputLines input_buffer{scratch, chunk.first};
        GradientLines gradient_buffer{scratch + InputLines::size, chunk.first};
        [[maybe_unused]] S* input_gradient = scratch + InputLines::size + GradientLines::size;
        [[maybe_unused]] Index next = chunk.first * Input.height;  // the next line of dL/d(input) to compute
        const Index chunk_end = (chunk.first + chunk.count) * output.height;
        for_each_band(chunk.first * output.height, chunk_end, [&](Index line, Index lines) {
            const Index last = line + lines - 1;
            gradient_buffer.fill_to(gradient, last / output.height, last % output.height);
            std::array<const S*, static_cast<std::size_t>(band_lines)> dz_lines{};
            for (Index i = 0; i < lines; ++i)
                dz_lines[static_cast<std::size_t>(i)] =
                    gradient_buffer.line((line + i) / output.height, (line + i) % output.height) +
                    gradient_padding * output.channels;
            if constexpr (!std::is_same_v<Source, NullSource>)
                add_weight_gradient(fetch_windows(input_buffer, source, line, lines).data(), dz_lines.data(), lines,
                                    partial);
            for (Index i = 0; i < lines; ++i) {
                const S* dz = dz_lines[static_cast<std::size_t>(i)];
                if constexpr (Conv::bias) add_row_sums<S>(output.width, output.channels, dz, partial + weight_count);
                if constexpr (!input_gradient_is_conv && !is_null_sink<Epilogue>)
                    scatter_line(line + i, dz, weights, input_gradient, epilogue);
            }
            if constexpr (input_gradient_is_conv && !is_null_sink<Epilogue>) {
                const Index n = last / output.height;
                const Index y = last % output.height;
                const Index end = n * Input.height + Geometry::complete_rows(y);
                if (next < end) convolve_gradient(gradient_buffer, next, end - next, weights, input_gradient, epilogue);
                next = std::max(next, end);
            }
        });
    }

    /// Adds up the chunks' weight gradients, with what follows them in `size` partial sums, and writes them in
    /// PyTorch's layout.
    static void reduce_gradient(const Pass<S>& pass, S* parameter_gradient, Index size = partial_size) {
        add_gradient_partials(pass, size, parameter_gradient, [](const S* sums, Index count, S* to) {
            for (Index group = 0; group < groups; ++group)
                for (Index o = 0; o < out; ++o)
                    for (Index c = 0; c < in; ++c)
                        for (Index tap = 0; tap < taps; ++tap)
                            to[((group * out + o) * in + c) * taps + tap] =
                                sums[group * group_weights + (tap * in + c) * out + o];
            std::copy(sums + weight_count, sums + count, to + weight_count);
        });
    }

private:
    /// A window over `Channels` channels per group as segments of contiguous scalars.
    template <Index Channels>
    struct Window {
        // The taps of a line form one segment if their channels are contiguous.
        static constexpr bool whole_lines = groups == 1 && Columns::dilation == 1;
        static constexpr Index length = whole_lines ? Columns::kernel_size * Channels : Channels;
        static constexpr Index per_line = whole_lines ? 1 : Columns::kernel_size;
        static constexpr Index count = Rows::kernel_size * per_line;
        using Segments = std::array<const S*, static_cast<std::size_t>(count)>;

        /// The segments of the first position of a line; `line_at(ky)` is the window's line ky.
        template <class LineAt>
        static Segments segments(LineAt&& line_at) {
            Segments result;
            for (Index ky = 0; ky < Rows::kernel_size; ++ky)
                for (Index i = 0; i < per_line; ++i)
                    result[static_cast<std::size_t>(ky * per_line + i)] =
                        line_at(ky) + i * Columns::dilation * Channels * groups;
            return result;
        }

        /// Multiplies the windows of `line_count` lines of `Width` positions, `RowStride` scalars apart, by the
        /// panels of a group of N columns; `c` is the group's part of the result.
        template <Index N, Index Width, Index RowStride, RegisterEpilogue<S> Epilogue = IdentityEpilogue<S>>
        static void multiply(Index group, const Segments* lines, Index line_count, const S* panels, S* c,
                             const Epilogue& epilogue = {}) {
            // The few channels of an image, in lines that fill a tile.
            constexpr bool short_segments = length <= 16 && Width >= tile_rows;
            if constexpr (short_segments)
                for (Index line = 0; line < line_count; ++line)
                    multiply_indirect_line<Width, length, RowStride, S>(
                        {lines[line].data(), count, length, RowStride, Width, group * Channels}, panels, N,
                        c + line * Width * N * groups, N * groups, epilogue);
            else
                multiply_indirect<S>(line_count * Width,
                                     {lines->data(), count, length, RowStride, Width, group * Channels}, panels, N, c,
                                     N * groups, epilogue);
        }
    };
    using ForwardWindow = Window<in>;
    using BackwardWindow = Window<out>;

    /// Calls `body(first line, lines)` for bands of the output lines [line, end), counted over the samples.
    template <class Body>
    static void for_each_band(Index line, Index end, Body&& body) {
        while (line < end) {
            const Index limit = whole_samples ? end : std::min(end, (line / output.height + 1) * output.height);
            const Index lines = std::min(band_lines, limit - line);
            body(line, lines);
            line += lines;
        }
    }

    /// Fetches the input of the output lines [line, line + lines) and returns their windows.
    template <class Buffer, RowSource Source>
    static auto fetch_windows(Buffer& buffer, const Source& source, Index line, Index lines) {
        const Index last = line + lines - 1;
        buffer.fill_to(source, last / output.height, Rows::last_input(last % output.height));
        std::array<typename ForwardWindow::Segments, static_cast<std::size_t>(band_lines)> windows;
        for (Index i = 0; i < lines; ++i) {
            const Index n = (line + i) / output.height;
            const Index top = Rows::first_input((line + i) % output.height);
            windows[static_cast<std::size_t>(i)] =
                ForwardWindow::segments([&](Index ky) { return buffer.line(n, top + ky * Rows::dilation); });
        }
        return windows;
    }

    /// The output lines [line, line + lines), at most one band.
    template <class Buffer, RowSource Source, RegisterEpilogue<S> Epilogue>
    static void forward_band(Buffer& buffer, const Source& source, const Weights<S>& weights, Index line, Index lines,
                             S* to, const Epilogue& epilogue) {
        const auto windows = fetch_windows(buffer, source, line, lines);
        const auto conv_epilogue = bias_epilogue<Conv::bias>(weights.parameters + weight_count, epilogue);
        for (Index group = 0; group < groups; ++group)
            ForwardWindow::template multiply<out, output.width, Columns::stride * Input.channels>(
                group, windows.data(), lines, weights.packed + group * (forward_panels + backward_panels),
                to + group * out, conv_epilogue.starting_at(group * out));
    }

    /// partial[group][tap, channel][out] += windowsᵀ · dz over all lines.
    static void add_weight_gradient(const typename ForwardWindow::Segments* windows, const S* const* dz, Index lines,
                                    S* partial) {
        for (Index group = 0; group < groups; ++group) {
            std::array<const S*, static_cast<std::size_t>(band_lines)> group_dz{};
            for (std::size_t i = 0; i < static_cast<std::size_t>(lines); ++i) group_dz[i] = dz[i] + group * out;
            for (Index segment = 0; segment < ForwardWindow::count; ++segment) {
                std::array<const S*, static_cast<std::size_t>(band_lines)> x{};
                for (std::size_t i = 0; i < static_cast<std::size_t>(lines); ++i)
                    x[i] = windows[i][static_cast<std::size_t>(segment)] + group * in;
                multiply_transposed_padded<ForwardWindow::length, S>(
                    out,
                    {x.data(), Columns::stride * Input.channels, group_dz.data(), output.channels, lines, output.width},
                    partial + group * group_weights + segment * ForwardWindow::length * out, out);
            }
        }
    }

    /// Computes the lines [line, line + lines) of dL/d(input), counted over the samples, as a convolution of dz.
    template <RowEpilogue Epilogue>
    static void convolve_gradient(const GradientLines& gradient_buffer, Index line, Index lines,
                                  const Weights<S>& weights, S* to, const Epilogue& epilogue) {
        std::array<typename BackwardWindow::Segments, static_cast<std::size_t>(input_gradient_lines)> windows;
        for (Index i = 0; i < lines; ++i) {
            const Index n = (line + i) / Input.height;
            const Index top = (line + i) % Input.height + Rows::padding - Rows::halo;
            windows[static_cast<std::size_t>(i)] =
                BackwardWindow::segments([&](Index ky) { return gradient_buffer.line(n, top + ky * Rows::dilation); });
        }
        for (Index group = 0; group < groups; ++group)
            BackwardWindow::template multiply<in, Input.width, output.channels>(
                group, windows.data(), lines,
                weights.packed + group * (forward_panels + backward_panels) + forward_panels, to + group * in);
        epilogue.store(line * Input.width, lines * Input.width, to);
    }

    /// Adds the contribution of one output line to the padded map dL/d(input) of its sample (col2im). After the
    /// last line of the sample the map is passed to the epilogue.
    template <RowEpilogue Epilogue>
    static void scatter_line(Index line, const S* dz, const Weights<S>& weights, S* map, const Epilogue& epilogue) {
        const Index n = line / output.height;
        const Index y = line % output.height;
        if (y == 0) std::fill(map, map + element_count(padded), S{0});
        for (Index group = 0; group < groups; ++group) {
            const S* panels = weights.packed + group * (forward_panels + backward_panels) + forward_panels;
            for (Index tap = 0; tap < taps; ++tap)
                cpu::multiply<true, S>(
                    output.width, in, out, dz + group * out, output.channels,
                    panels + tap * packed_panel_size<S>(out, in),
                    map +
                        ((y * Rows::stride + tap / Columns::kernel_size * Rows::dilation) * padded.width +
                         tap % Columns::kernel_size * Columns::dilation) *
                            Input.channels +
                        group * in,
                    Columns::stride * Input.channels);
        }
        if (y + 1 < output.height) return;
        for (Index row = 0; row < Input.height; ++row)
            epilogue.store((n * Input.height + row) * Input.width, Input.width,
                           map + ((row + Rows::padding) * padded.width + Columns::padding) * Input.channels);
    }
};

}  // namespace bantam::cpu
