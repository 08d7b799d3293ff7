// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/cpu/kernels/conv_operation.hpp>
#include <bantam/cpu/kernels/gemm.hpp>
#include <bantam/cpu/kernels/line_buffer.hpp>
#include <bantam/cpu/kernels/pointwise_conv.hpp>
#include <bantam/layers/conv2d.hpp>

#include <algorithm>
#include <array>
#include <cstddef>

namespace bantam::cpu {

/// A convolution as products whose left factor is the map itself: the window's rows are segments of it,
/// and neighboring positions overlap (Dukhan, "The Indirect Convolution Algorithm", 2019). Output rows
/// go in bands, long enough for weights that leave the first-level cache to be worth fetching again.
template <class Conv, Shape Input, class S>
struct DenseKernel : OperationSizes {
    static constexpr Shape input = Input;
    static constexpr Shape output = Conv::output_shape(Input);
    static constexpr Index kernel = Conv::kernel;
    static constexpr Index stride = Conv::stride;
    static constexpr Index dilation = Conv::dilation;
    static constexpr Index padding = Conv::padding;
    static constexpr Index groups = Conv::groups;
    static constexpr Index in = Input.channels / groups;       // a group
    static constexpr Index out = Conv::out_channels / groups;  // a group
    static constexpr Index taps = kernel * kernel;
    static constexpr Index halo = (kernel - 1) * dilation;
    static constexpr Index group_weights = out * taps * in;
    static constexpr Index weight_count = groups * group_weights;

    // At stride 1 the way back is a convolution, too, with the taps in reverse order. Elsewhere each tap
    // adds its share to a padded map.
    static constexpr bool input_gradient_is_conv = stride == 1 && halo >= padding;
    static constexpr Index forward_panels = packed_panel_size<S>(taps * in, out);
    static constexpr Index backward_panels =
        input_gradient_is_conv ? packed_panel_size<S>(taps * out, in) : taps * packed_panel_size<S>(out, in);
    static constexpr Index packed_size = groups * (forward_panels + backward_panels);
    static constexpr Index partial_size = weight_count + (Conv::bias ? Conv::out_channels : 0);

    /// How a window over `Channels` channels a group falls into segments of neighboring scalars.
    template <Index Channels>
    struct Window {
        // A whole row of taps where its channels lie side by side.
        static constexpr bool whole_rows = groups == 1 && dilation == 1;
        static constexpr Index length = whole_rows ? kernel * Channels : Channels;
        static constexpr Index per_row = whole_rows ? 1 : kernel;
        static constexpr Index count = kernel * per_row;
        using Begins = std::array<const S*, static_cast<std::size_t>(count)>;

        /// The segments of output position 0 of a row whose window rows `row_at(ky)` gives.
        template <class RowAt>
        static Begins begins(RowAt&& row_at) {
            Begins result;
            for (Index ky = 0; ky < kernel; ++ky)
                for (Index run = 0; run < per_row; ++run)
                    result[static_cast<std::size_t>(ky * per_row + run)] =
                        row_at(ky) + run * dilation * Channels * groups;
            return result;
        }

        /// The windows of `row_count` rows of `Width` positions, `Step` scalars apart, times a group's
        /// panels of N columns; the group's part of C begins at `c`.
        template <Index N, Index Width, Index Step, class Finish = IdentityEpilogue<S>>
        static void multiply(Index group, const Begins* rows, Index row_count, const S* panels, S* c,
                             const Finish& finish = {}) {
            // The few channels of a picture, in lines that fill a tile.
            constexpr bool short_segments = length <= 16 && Width >= tile_rows;
            if constexpr (short_segments)
                for (Index row = 0; row < row_count; ++row)
                    multiply_line<length, Step, S>({rows[row].data(), count, length, Step, Width, group * Channels},
                                                   panels, N, c + row * Width * N * groups, N * groups, finish);
            else
                multiply_windows<S>(row_count * Width, {rows->data(), count, length, Step, Width, group * Channels},
                                    panels, N, c, N * groups, finish);
        }
    };
    using ForwardWindow = Window<in>;
    using BackwardWindow = Window<out>;

    // Bands of whole samples where maps are small, of some rows of one sample elsewhere.
    static constexpr Index wanted_rows = (96 + output.width - 1) / output.width;
    static constexpr Index band_samples =
        wanted_rows >= output.height ? (wanted_rows + output.height - 1) / output.height : 0;
    static constexpr bool whole_samples = band_samples > 0;
    static constexpr Index band_rows = whole_samples ? band_samples * output.height : wanted_rows;
    static constexpr Index input_rows_kept =
        whole_samples ? band_samples * Input.height : (band_rows - 1) * stride + halo + 1;
    using InputRows = LineBuffer<Input, padding, input_rows_kept, S>;
    static constexpr Index gradient_padding = input_gradient_is_conv ? halo - padding : 0;
    static constexpr Index gradient_rows_kept = whole_samples ? band_rows : band_rows + halo;
    using GradientRows = LineBuffer<output, gradient_padding, gradient_rows_kept, S>;
    // What a band makes of dL/d(input): rows of a band and those at the end of a sample, or a padded map.
    static constexpr Index input_band = whole_samples ? band_samples * Input.height : band_rows + halo;
    static constexpr Shape padded{Input.height + 2 * padding, Input.width + 2 * padding, Input.channels};
    static constexpr Index input_gradient_size = input_gradient_is_conv
                                                     ? input_band * Input.width * Input.channels
                                                     : element_count(padded) + stride * Input.channels;
    static constexpr Index scratch_size = InputRows::size + GradientRows::size + input_gradient_size;

    static void prepare(const S* parameters, S* panels) {
        const auto weight = [=](Index group, Index o, Index c, Index tap) {
            return parameters[((group * out + o) * in + c) * taps + tap];
        };
        for (Index group = 0; group < groups; ++group, panels += forward_panels + backward_panels) {
            pack_panels(taps * in, out, [&](Index k, Index o) { return weight(group, o, k % in, k / in); }, panels);
            if (input_gradient_is_conv) {
                pack_panels(
                    taps * out, in, [&](Index k, Index c) { return weight(group, k % out, c, taps - 1 - k / out); },
                    panels + forward_panels);
            } else {
                for (Index tap = 0; tap < taps; ++tap)
                    pack_panels(
                        out, in, [&](Index o, Index c) { return weight(group, o, c, tap); },
                        panels + forward_panels + tap * packed_panel_size<S>(out, in));
            }
        }
    }

    /// Calls `body(first row, rows)` for bands of the output rows from `row` to `end`, counted over the
    /// samples.
    template <class Body>
    static void for_each_band(Index row, Index end, Body&& body) {
        while (row < end) {
            const Index limit = whole_samples ? end : std::min(end, (row / output.height + 1) * output.height);
            const Index rows = std::min(band_rows, limit - row);
            body(row, rows);
            row += rows;
        }
    }

    /// Fetches what `rows` output rows from `row` on read, and finds their windows.
    template <class Rows, class Source>
    static auto windows_of(Rows& window, const Source& source, Index row, Index rows) {
        const Index last = row + rows - 1;
        window.fill_to(source, last / output.height, last % output.height * stride - padding + halo);
        std::array<typename ForwardWindow::Begins, static_cast<std::size_t>(band_rows)> windows;
        for (Index i = 0; i < rows; ++i) {
            const Index n = (row + i) / output.height;
            const Index top = (row + i) % output.height * stride - padding;
            windows[static_cast<std::size_t>(i)] =
                ForwardWindow::begins([&](Index ky) { return window.row(n, top + ky * dilation); });
        }
        return windows;
    }

    /// `rows` lines of the output from line `row` on, a band at most.
    template <class Rows, class Source, class Finish>
    static void forward_band(Rows& window, const Source& source, const Weights<S>& weights, Index row, Index rows,
                             S* to, const Finish& finish) {
        const auto windows = windows_of(window, source, row, rows);
        const auto finish_all = after_bias<Conv::bias>(weights.parameters + weight_count, finish);
        for (Index group = 0; group < groups; ++group)
            ForwardWindow::template multiply<out, output.width, stride * Input.channels>(
                group, windows.data(), rows, weights.packed + group * (forward_panels + backward_panels),
                to + group * out, finish_all.from(group * out));
    }

    template <class Source, class Wrote>
    static void forward_chunk(Chunk chunk, const Weights<S>& weights, const Source& source, S* z, Wrote&& wrote,
                              S* scratch_here) {
        InputRows window{scratch_here, chunk.first};
        for_each_band(
            chunk.first * output.height, (chunk.first + chunk.count) * output.height, [&](Index row, Index rows) {
                const Index first = row * output.width;
                forward_band(window, source, weights, row, rows, z + first * output.channels, IdentityEpilogue<S>{});
                wrote(first, rows * output.width);
            });
    }

    template <class Source>
    class Stream {
        static constexpr Index batch = rows_worthwhile(Input);
        // Who asks may begin a band in the middle of a sample.
        static constexpr Index rows_kept = input_rows_kept + (whole_samples ? halo : 0) + batch - 1;
        using Window = LineBuffer<Input, padding, rows_kept, S, batch>;

    public:
        static constexpr Index memory = Window::size;
        Stream(const Source& source, const Weights<S>& weights, Chunk chunk, S* memory_here)
            : source_{source}, weights_{weights}, window_{memory_here, chunk.first} {}

        template <class Finish>
        void rows(Index first, Index count, S* to, const Finish& finish) const {
            for_each_band(first / output.width, (first + count) / output.width, [&](Index row, Index rows_here) {
                forward_band(window_, source_, weights_, row, rows_here,
                             to + (row * output.width - first) * output.channels, finish);
            });
        }

    private:
        const Source& source_;
        const Weights<S>& weights_;
        mutable Window window_;
    };

    template <class Source, class Gradient, class Sink>
    static void backward_chunk(Chunk chunk, const Weights<S>& weights, const Source& source, const Gradient& gradient,
                               const Sink& sink, S* partial, S* scratch_here) {
        InputRows window{scratch_here, chunk.first};
        GradientRows gradients{scratch_here + InputRows::size, chunk.first};
        S* input_gradient = scratch_here + InputRows::size + GradientRows::size;
        Index next = chunk.first * Input.height;  // the first row of dL/d(input) still to come
        const Index chunk_end = (chunk.first + chunk.count) * output.height;
        for_each_band(chunk.first * output.height, chunk_end, [&](Index row, Index rows) {
            const auto windows = windows_of(window, source, row, rows);
            const Index last = row + rows - 1;
            gradients.fill_to(gradient, last / output.height, last % output.height);
            std::array<const S*, static_cast<std::size_t>(band_rows)> dz_rows{};
            for (Index i = 0; i < rows; ++i)
                dz_rows[static_cast<std::size_t>(i)] =
                    gradients.row((row + i) / output.height, (row + i) % output.height) +
                    gradient_padding * output.channels;
            add_weight_gradient(windows.data(), dz_rows.data(), rows, partial);
            for (Index i = 0; i < rows; ++i) {
                const S* dz = dz_rows[static_cast<std::size_t>(i)];
                if constexpr (Conv::bias) add_row_sums<S>(output.width, output.channels, dz, partial + weight_count);
                if constexpr (!input_gradient_is_conv)
                    if (sink.wanted()) scatter(row + i, dz, weights, input_gradient, sink);
            }
            if constexpr (input_gradient_is_conv) {
                if (!sink.wanted()) return;
                const Index n = last / output.height;
                const Index y = last % output.height;
                const Index end =
                    n * Input.height +
                    (y + 1 == output.height ? Input.height : std::clamp<Index>(y + 1 - padding, 0, Input.height));
                if (next < end) mirror(gradients, next, end - next, weights, input_gradient, sink);
                next = std::max(next, end);
            }
        });
    }

    /// partial[group][tap, channel][out] += the rows' windowsᵀ · dz.
    static void add_weight_gradient(const typename ForwardWindow::Begins* windows, const S* const* dz, Index rows,
                                    S* partial) {
        for (Index group = 0; group < groups; ++group) {
            std::array<const S*, static_cast<std::size_t>(band_rows)> group_dz;
            for (std::size_t i = 0; i < static_cast<std::size_t>(rows); ++i) group_dz[i] = dz[i] + group * out;
            for (Index segment = 0; segment < ForwardWindow::count; ++segment) {
                std::array<const S*, static_cast<std::size_t>(band_rows)> begins;
                for (std::size_t i = 0; i < static_cast<std::size_t>(rows); ++i)
                    begins[i] = windows[i][static_cast<std::size_t>(segment)] + group * in;
                multiply_transposed_padded<S>(
                    ForwardWindow::length, out,
                    {begins.data(), stride * Input.channels, group_dz.data(), output.channels, rows, output.width},
                    partial + group * group_weights + segment * ForwardWindow::length * out, out);
            }
        }
    }

    /// dL/d(input) of `rows` rows from `row` on, counted over the samples, as a convolution of dz.
    template <class Sink>
    static void mirror(const GradientRows& gradients, Index row, Index rows, const Weights<S>& weights, S* to,
                       const Sink& sink) {
        std::array<typename BackwardWindow::Begins, static_cast<std::size_t>(input_band)> windows;
        for (Index i = 0; i < rows; ++i) {
            const Index n = (row + i) / Input.height;
            const Index top = (row + i) % Input.height + padding - halo;
            windows[static_cast<std::size_t>(i)] =
                BackwardWindow::begins([&](Index ky) { return gradients.row(n, top + ky * dilation); });
        }
        for (Index group = 0; group < groups; ++group)
            BackwardWindow::template multiply<in, Input.width, output.channels>(
                group, windows.data(), rows,
                weights.packed + group * (forward_panels + backward_panels) + forward_panels, to + group * in);
        sink(row * Input.width, rows * Input.width, to);
    }

    /// Adds one output row's share to the padded map of its sample; hands the map over after the last one.
    template <class Sink>
    static void scatter(Index row, const S* dz, const Weights<S>& weights, S* map, const Sink& sink) {
        const Index n = row / output.height;
        const Index y = row % output.height;
        if (y == 0) std::fill(map, map + element_count(padded), S{0});
        for (Index group = 0; group < groups; ++group) {
            const S* panels = weights.packed + group * (forward_panels + backward_panels) + forward_panels;
            for (Index tap = 0; tap < taps; ++tap)
                cpu::multiply<true, S>(
                    output.width, in, out, dz + group * out, output.channels,
                    panels + tap * packed_panel_size<S>(out, in),
                    map +
                        ((y * stride + tap / kernel * dilation) * padded.width + tap % kernel * dilation) *
                            Input.channels +
                        group * in,
                    stride * Input.channels);
        }
        if (y + 1 < output.height) return;
        for (Index r = 0; r < Input.height; ++r)
            sink((n * Input.height + r) * Input.width, Input.width,
                 map + ((r + padding) * padded.width + padding) * Input.channels);
    }

    /// Joins the chunks' partial sums and puts them into PyTorch's order.
    static void finish_gradient(const Pass<S>& pass, S* parameter_gradient) {
        add_partials(pass, pass.partials, partial_size, partial_size, pass.partials);
        for (Index group = 0; group < groups; ++group)
            for (Index o = 0; o < out; ++o)
                for (Index c = 0; c < in; ++c)
                    for (Index tap = 0; tap < taps; ++tap)
                        parameter_gradient[((group * out + o) * in + c) * taps + tap] =
                            pass.partials[group * group_weights + (tap * in + c) * out + o];
        std::copy(pass.partials + weight_count, pass.partials + partial_size, parameter_gradient + weight_count);
    }
};

template <int Out, int Kernel, int Stride, ConvOptions Options, Shape Input, class S>
struct Operation<Conv2d<Out, Kernel, Stride, Options>, Input, S>
    : ConvOperation<DenseKernel<Conv2d<Out, Kernel, Stride, Options>, Input, S>, S> {};

template <int Out, ConvOptions Options, Shape Input, class S>
    requires(Options.groups == 1 && Options.padding <= 0)
struct Operation<Conv2d<Out, 1, 1, Options>, Input, S>
    : PointwiseOperation<pixel_count(Input), Input.channels, Out, Options.bias, S> {};

}  // namespace bantam::cpu
