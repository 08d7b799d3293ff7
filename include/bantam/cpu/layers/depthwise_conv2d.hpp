// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/cpu/kernels/conv_operation.hpp>
#include <bantam/cpu/kernels/line_buffer.hpp>
#include <bantam/cpu/kernels/pointwise_conv.hpp>
#include <bantam/cpu/runtime/operation.hpp>
#include <bantam/cpu/runtime/simd.hpp>
#include <bantam/layers/depthwise_conv2d.hpp>

#include <algorithm>
#include <array>
#include <cstddef>

namespace bantam::cpu {

/// Where a row of window sums finds one tap along x.
struct WindowTap {
    Index source;  ///< scalars from the position's own
    Index weight;  ///< scalars from the row's weights
};

/// out[x, c] = Σ over `Rows` and `Taps` of source · weight, as `finish` leaves it, for `Count` positions
/// that lie `InStep` and `OutStep` scalars apart.
template <Index Channels, Index InStep, Index OutStep, Index Count, auto Taps, std::size_t Rows, class S, class Finish>
void window_sums(const std::array<const S*, Rows>& sources, const std::array<const S*, Rows>& weights,
                 const Finish& finish, S* out) {
    // A window's weights stay in registers where they are few; neighbors share the values under it.
    constexpr std::size_t columns = Taps.size();
    constexpr bool keeps_weights = Rows * columns <= 9;
    constexpr Index together = vector_bytes == 64 ? 8 : 4;
    for_each_vector<S, Channels>([&](Index c, auto fetch, auto put) {
        const auto finished = finish.at(c, fetch);
        const auto weight = [&](std::size_t row, std::size_t tap) {
            return fetch(weights[row] + Taps[tap].weight + c);
        };
        const S* from[std::max<std::size_t>(1, Rows)];
        Vector<S> kept[keeps_weights && Rows * columns > 0 ? Rows * columns : 1];
        for (std::size_t row = 0; row < Rows; ++row) from[row] = sources[row] + c;
        if constexpr (keeps_weights) {
            BANTAM_UNROLL(3)
            for (std::size_t row = 0; row < Rows; ++row) {
                BANTAM_UNROLL(3)
                for (std::size_t tap = 0; tap < columns; ++tap) kept[row * columns + tap] = weight(row, tap);
            }
        }
        const auto positions = [&, to = out + c]<int Together>(Index x) {
            Vector<S> sums[Together];
            BANTAM_UNROLL(8)
            for (int i = 0; i < Together; ++i) sums[i] = Vector<S>{};
            const auto add = [&](std::size_t row, std::size_t tap, const Vector<S>& w) {
                BANTAM_UNROLL(8)
                for (int i = 0; i < Together; ++i)
                    sums[i] += fetch(from[row] + Taps[tap].source + (x + i) * InStep) * w;
            };
            if constexpr (keeps_weights) {
                BANTAM_UNROLL(3)
                for (std::size_t row = 0; row < Rows; ++row) {
                    BANTAM_UNROLL(3)
                    for (std::size_t tap = 0; tap < columns; ++tap) add(row, tap, kept[row * columns + tap]);
                }
            } else {
                for (std::size_t row = 0; row < Rows; ++row) {
                    BANTAM_UNROLL(7)
                    for (std::size_t tap = 0; tap < columns; ++tap) add(row, tap, weight(row, tap));
                }
            }
            BANTAM_UNROLL(8)
            for (int i = 0; i < Together; ++i) put(to + (x + i) * OutStep, finished(sums[i]));
        };
        constexpr Index in_groups = Count / together * together;
        for (Index x = 0; x < in_groups; x += together) positions.template operator()<together>(x);
        if constexpr (in_groups < Count) positions.template operator()<Count - in_groups>(in_groups);
    });
}

/// Adds to weight_gradient [Kernel²][Channels] what one row of output gradients makes of the input rows
/// under the window.
template <int Kernel, Index Channels, class S>
void window_weight_gradient(const std::array<const S*, Kernel>& sources, Index in_step, Index column, Index count,
                            const S* gradient, S* weight_gradient) {
    // As many rows of taps as the registers hold, over a stretch that stays in the first-level cache.
    constexpr int rows_at_once = Kernel <= 3 ? Kernel : 1;
    constexpr Index stretch = 16;
    for (Index x0 = 0; x0 < count; x0 += stretch) {
        const Index end = std::min(x0 + stretch, count);
        for_each_vector<S, Channels>([&](Index c, auto fetch, auto put) {
            for (int first = 0; first < Kernel; first += rows_at_once) {
                constexpr int taps = rows_at_once * Kernel;
                S* to = weight_gradient + first * Kernel * Channels + c;
                Vector<S> sums[taps];
                const S* from[rows_at_once];
                BANTAM_UNROLL(9)
                for (int tap = 0; tap < taps; ++tap) sums[tap] = fetch(to + tap * Channels);
                BANTAM_UNROLL(3)
                for (int row = 0; row < rows_at_once; ++row)
                    from[row] = sources[static_cast<std::size_t>(first + row)] + c;
                for (Index x = x0; x < end; ++x) {
                    const Vector<S> g = fetch(gradient + x * Channels + c);
                    BANTAM_UNROLL(9)
                    for (int tap = 0; tap < taps; ++tap)
                        sums[tap] += g * fetch(from[tap / Kernel] + x * in_step + tap % Kernel * column);
                }
                BANTAM_UNROLL(9)
                for (int tap = 0; tap < taps; ++tap) put(to + tap * Channels, sums[tap]);
            }
        });
    }
}

template <int Kernel, int Stride, ConvOptions Options, Shape Input, class S>
struct DepthwiseKernel : OperationSizes {
    using Conv = DepthwiseConv2d<Kernel, Stride, Options>;
    static constexpr Shape input = Input;
    static constexpr Shape output = Conv::output_shape(Input);
    static constexpr Index channels = Input.channels;
    static constexpr Index dilation = Conv::dilation;
    static constexpr Index padding = Conv::padding;
    static constexpr Index taps = Index{Kernel} * Kernel;
    static constexpr Index halo = (Kernel - 1) * dilation;
    static constexpr Index weight_count = channels * taps;
    static constexpr Index packed_size = weight_count;
    static constexpr Index partial_size = weight_count + (Conv::bias ? channels : 0);

    // On the way there the first and last positions leave out the taps that find padding; on the way back
    // padded rows spare the tests.
    template <Index Batch>
    using ForwardWindow = LineBuffer<Input, 0, (halo + 2 * Batch - 1) / Batch * Batch, S, Batch>;
    using InputWindow = LineBuffer<Input, padding, halo + 1, S>;
    // Input position x hears from output positions (x + padding − k·dilation) / stride.
    static constexpr Index before = std::max<Index>(0, (halo - padding) / Stride);
    static constexpr Index after = std::max<Index>(0, (Input.width - 1 + padding) / Stride - (output.width - 1));
    static constexpr Index gradient_padding = std::max(before, after);
    using GradientWindow = LineBuffer<output, gradient_padding, halo / Stride + 1, S>;
    static constexpr Index scratch_size = InputWindow::size + GradientWindow::size + Input.width * channels;

    /// [channel][tap] to [tap][channel], so that neighboring channels share a vector.
    static void prepare(const S* parameters, S* packed_weights) {
        for (Index c = 0; c < channels; ++c)
            for (Index tap = 0; tap < taps; ++tap) packed_weights[tap * channels + c] = parameters[c * taps + tap];
    }

    template <class Window>
    static std::array<const S*, Kernel> rows_under(const Window& window, Index n, Index y) {
        std::array<const S*, Kernel> rows;
        for (int ky = 0; ky < Kernel; ++ky)
            rows[static_cast<std::size_t>(ky)] = window.row(n, y * Stride - padding + ky * dilation);
        return rows;
    }

    /// Output position `x` reads the map at position x · Stride − padding and on.
    static constexpr Index begin_of(Index x) { return x * Stride - padding; }

    /// The taps that find output position `X` a value in the map, from the map's position `Origin`.
    template <Index X, Index Origin>
    static constexpr auto taps_at = [] {
        constexpr auto inside = [](Index kx) {
            const Index position = begin_of(X) + kx * dilation;
            return position >= 0 && position < Input.width;
        };
        constexpr std::size_t count = [=] {
            std::size_t found = 0;
            for (Index kx = 0; kx < Kernel; ++kx) found += inside(kx);
            return found;
        }();
        std::array<WindowTap, count> result{};
        std::size_t i = 0;
        for (Index kx = 0; kx < Kernel; ++kx)
            if (inside(kx)) result[i++] = {(begin_of(X) + kx * dilation - Origin) * channels, kx * channels};
        return result;
    }();

    // Output positions that read the map alone lie between these.
    static constexpr Index inner_begin = std::min(output.width, (padding + Stride - 1) / Stride);
    static constexpr Index inner_end = std::max(
        inner_begin,
        Input.width + padding - halo > 0 ? std::min(output.width, (Input.width + padding - halo - 1) / Stride + 1) : 0);

    /// Line y of sample n of the output, from a window that gets its rows from `source`.
    template <class Window, class Source, class Finish>
    static void forward_line(Window& window, const Source& source, const Weights<S>& weights, Index n, Index y, S* to,
                             const Finish& finish) {
        window.fill_to(source, n, y * Stride - padding + halo);
        const std::array<const S*, Kernel> rows = rows_under(window, n, y);
        std::array<const S*, Kernel> tap_rows;
        for (int ky = 0; ky < Kernel; ++ky)
            tap_rows[static_cast<std::size_t>(ky)] = weights.packed + ky * Kernel * channels;
        const auto finish_all = after_bias<Conv::bias>(weights.parameters + weight_count, finish);
        const auto edge = [&]<Index X>() {
            window_sums<channels, 0, 0, 1, taps_at<X, 0>>(rows, tap_rows, finish_all, to + X * channels);
        };
        const auto edges = [&]<Index First, Index... Xs>(std::integer_sequence<Index, Xs...>) {
            (edge.template operator()<First + Xs>(), ...);
        };
        edges.template operator()<0>(std::make_integer_sequence<Index, inner_begin>{});
        if constexpr (inner_begin < inner_end) {
            std::array<const S*, Kernel> starts = rows;
            for (const S*& start : starts) start += begin_of(inner_begin) * channels;
            window_sums<channels, Stride * channels, channels, inner_end - inner_begin,
                        taps_at<inner_begin, begin_of(inner_begin)>>(starts, tap_rows, finish_all,
                                                                     to + inner_begin * channels);
        }
        edges.template operator()<inner_end>(std::make_integer_sequence<Index, output.width - inner_end>{});
    }

    template <class Source, class Wrote>
    static void forward_chunk(Chunk chunk, const Weights<S>& weights, const Source& source, S* z, Wrote&& wrote,
                              S* scratch_here) {
        ForwardWindow<1> window{scratch_here, chunk.first};
        for (Index n = chunk.first; n < chunk.first + chunk.count; ++n)
            for (Index y = 0; y < output.height; ++y) {
                const Index first = (n * output.height + y) * output.width;
                forward_line(window, source, weights, n, y, z + first * channels, IdentityEpilogue<S>{});
                wrote(first, output.width);
            }
    }

    template <class Source>
    class Stream {
        using Window = ForwardWindow<rows_worthwhile(Input)>;

    public:
        static constexpr Index memory = Window::size;
        Stream(const Source& source, const Weights<S>& weights, Chunk chunk, S* memory_here)
            : source_{source}, weights_{weights}, window_{memory_here, chunk.first} {}

        template <class Finish>
        void rows(Index first, Index count, S* to, const Finish& finish) const {
            for (Index line = first / output.width; line < (first + count) / output.width; ++line)
                forward_line(window_, source_, weights_, line / output.height, line % output.height,
                             to + (line * output.width - first) * channels, finish);
        }

    private:
        const Source& source_;
        const Weights<S>& weights_;
        mutable Window window_;
    };

    template <class Source, class Gradient, class Sink>
    static void backward_chunk(Chunk chunk, const Weights<S>& weights, const Source& source, const Gradient& gradient,
                               const Sink& sink, S* partial, S* scratch_here) {
        InputWindow window{scratch_here, chunk.first};
        GradientWindow gradients{scratch_here + InputWindow::size, chunk.first};
        S* row_gradient = scratch_here + InputWindow::size + GradientWindow::size;
        for (Index n = chunk.first; n < chunk.first + chunk.count; ++n) {
            Index next = 0;  // the first row of dL/d(input) that is still to come
            for (Index y = 0; y < output.height; ++y) {
                window.fill_to(source, n, y * Stride - padding + halo);
                gradients.fill_to(gradient, n, y);
                const S* dz = gradients.row(n, y) + gradient_padding * channels;
                window_weight_gradient<Kernel, channels>(rows_under(window, n, y), Stride * channels,
                                                         dilation * channels, output.width, dz, partial);
                if constexpr (Conv::bias) add_row_sums<S>(output.width, channels, dz, partial + weight_count);
                if (!sink.wanted()) continue;
                const Index end = y + 1 == output.height
                                      ? Input.height
                                      : std::clamp<Index>((y + 1) * Stride - padding, 0, Input.height);
                for (; next < end; ++next) {
                    input_gradient_row(gradients, n, next, weights.packed, row_gradient);
                    sink((n * Input.height + next) * Input.width, Input.width, row_gradient);
                }
            }
        }
    }

    /// The taps that halo input positions with (position + padding) % Stride == Phase.
    template <Index Phase>
    static constexpr auto taps_of_phase = [] {
        constexpr std::size_t count = [] {
            std::size_t found = 0;
            for (int k = 0; k < Kernel; ++k) found += k * dilation % Stride == Phase;
            return found;
        }();
        std::array<WindowTap, count> result{};
        std::size_t i = 0;
        for (int k = 0; k < Kernel; ++k)
            if (k * dilation % Stride == Phase)
                result[i++] = {-(k * dilation - Phase) / Stride * channels, k * channels};
        return result;
    }();

    /// Row y of sample n of dL/d(input).
    static void input_gradient_row(const GradientWindow& gradients, Index n, Index y, const S* packed_weights, S* to) {
        const auto phases = [&]<Index Down, Index Along>() {
            constexpr auto taps_down = taps_of_phase<Down>;
            std::array<const S*, taps_down.size()> starts, tap_rows;
            constexpr Index first = ((Along - padding) % Stride + Stride) % Stride;
            constexpr Index positions = (Input.width - first + Stride - 1) / Stride;
            for (std::size_t i = 0; i < taps_down.size(); ++i) {
                // Where the window finds no row of gradients it gives zeros.
                starts[i] = gradients.row(n, (y + padding - Down) / Stride + taps_down[i].source / channels) +
                            (gradient_padding + (first + padding - Along) / Stride) * channels;
                tap_rows[i] = packed_weights + taps_down[i].weight * Kernel;
            }
            if constexpr (positions > 0)
                window_sums<channels, channels, Stride * channels, positions, taps_of_phase<Along>>(
                    starts, tap_rows, IdentityEpilogue<S>{}, to + first * channels);
        };
        [&]<Index... Phases>(std::integer_sequence<Index, Phases...>) {
            const auto row = [&]<Index Down>() { (phases.template operator()<Down, Phases>(), ...); };
            static_cast<void>((((y + padding) % Stride == Phases && (row.template operator()<Phases>(), true)) || ...));
        }(std::make_integer_sequence<Index, Stride>{});
    }

    /// Joins the chunks' partial sums and puts them into PyTorch's order.
    static void finish_gradient(const Pass<S>& pass, S* parameter_gradient) {
        add_partials(pass, pass.partials, partial_size, partial_size, pass.partials);
        for (Index c = 0; c < channels; ++c)
            for (Index tap = 0; tap < taps; ++tap)
                parameter_gradient[c * taps + tap] = pass.partials[tap * channels + c];
        std::copy(pass.partials + weight_count, pass.partials + partial_size, parameter_gradient + weight_count);
    }
};

template <int Kernel, int Stride, ConvOptions Options, Shape Input, class S>
struct Operation<DepthwiseConv2d<Kernel, Stride, Options>, Input, S>
    : ConvOperation<DepthwiseKernel<Kernel, Stride, Options, Input, S>, S> {};

}  // namespace bantam::cpu
