// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/cpu/hooks.hpp>
#include <bantam/cpu/operation.hpp>
#include <bantam/cpu/pointwise.hpp>
#include <bantam/cpu/row_window.hpp>
#include <bantam/cpu/simd.hpp>
#include <bantam/layers/depthwise_conv2d.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace bantam::cpu {

/// Where a row of window sums finds one tap along x.
struct WindowTap {
    std::int64_t source;  ///< scalars from the position's own
    std::int64_t weight;  ///< scalars from the row's weights
};

/// out[x, c] = Σ over `Rows` and `Taps` of source · weight, as `finish` leaves it, for `Count` positions
/// that lie `InStep` and `OutStep` scalars apart.
template <std::int64_t Channels, std::int64_t InStep, std::int64_t OutStep, std::int64_t Count, auto Taps,
          std::size_t Rows, class S, class Finish>
void window_sums(const std::array<const S*, Rows>& sources, const std::array<const S*, Rows>& weights,
                 const Finish& finish, S* out) {
    // A window's weights stay in registers where they are few; neighbours share the values under it.
    constexpr std::size_t columns = Taps.size();
    constexpr bool keeps_weights = Rows * columns <= 9;
    constexpr std::int64_t together = vector_bytes == 64 ? 8 : 4;
    for_each_vector<S, Channels>([&](std::int64_t c, auto fetch, auto put) {
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
        const auto positions = [&, to = out + c]<int Together>(std::int64_t x) {
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
        constexpr std::int64_t in_groups = Count / together * together;
        for (std::int64_t x = 0; x < in_groups; x += together) positions.template operator()<together>(x);
        if constexpr (in_groups < Count) positions.template operator()<Count - in_groups>(in_groups);
    });
}

/// Adds to weight_gradient [Kernel²][Channels] what one row of output gradients makes of the input rows
/// under the window.
template <int Kernel, std::int64_t Channels, class S>
void window_weight_gradient(const std::array<const S*, Kernel>& sources, std::int64_t in_step, std::int64_t column,
                            std::int64_t count, const S* gradient, S* weight_gradient) {
    // As many rows of taps as the registers hold, over a stretch that stays in the first-level cache.
    constexpr int rows_at_once = Kernel <= 3 ? Kernel : 1;
    constexpr std::int64_t stretch = 16;
    for (std::int64_t x0 = 0; x0 < count; x0 += stretch) {
        const std::int64_t end = std::min(x0 + stretch, count);
        for_each_vector<S, Channels>([&](std::int64_t c, auto fetch, auto put) {
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
                for (std::int64_t x = x0; x < end; ++x) {
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
    static constexpr std::int64_t channels = Input.channels;
    static constexpr std::int64_t dilation = Conv::dilation;
    static constexpr std::int64_t padding = Conv::padding;
    static constexpr std::int64_t taps = std::int64_t{Kernel} * Kernel;
    static constexpr std::int64_t reach = (Kernel - 1) * dilation;
    static constexpr std::int64_t weight_count = channels * taps;
    static constexpr std::int64_t packed = weight_count;
    static constexpr std::int64_t partials = weight_count + (Conv::bias ? channels : 0);

    // On the way there the first and last positions leave out the taps that find padding; on the way back
    // padded rows spare the tests.
    template <std::int64_t Batch>
    using ForwardWindow = RowWindow<Input, 0, (reach + 2 * Batch - 1) / Batch * Batch, S, Batch>;
    using InputWindow = RowWindow<Input, padding, reach + 1, S>;
    // Input position x hears from output positions (x + padding − k·dilation) / stride.
    static constexpr std::int64_t before = std::max<std::int64_t>(0, (reach - padding) / Stride);
    static constexpr std::int64_t after =
        std::max<std::int64_t>(0, (Input.width - 1 + padding) / Stride - (output.width - 1));
    static constexpr std::int64_t gradient_padding = std::max(before, after);
    using GradientWindow = RowWindow<output, gradient_padding, reach / Stride + 1, S>;
    static constexpr std::int64_t scratch = InputWindow::size + GradientWindow::size + Input.width * channels;

    /// [channel][tap] to [tap][channel], so that neighbouring channels share a vector.
    static void prepare(const S* parameters, S* packed_weights) {
        for (std::int64_t c = 0; c < channels; ++c)
            for (std::int64_t tap = 0; tap < taps; ++tap) packed_weights[tap * channels + c] = parameters[c * taps + tap];
    }

    template <class Window>
    static std::array<const S*, Kernel> rows_under(const Window& window, std::int64_t n, std::int64_t y) {
        std::array<const S*, Kernel> rows;
        for (int ky = 0; ky < Kernel; ++ky)
            rows[static_cast<std::size_t>(ky)] = window.row(n, y * Stride - padding + ky * dilation);
        return rows;
    }

    /// Output position `x` reads the map at position x · Stride − padding and on.
    static constexpr std::int64_t begin_of(std::int64_t x) { return x * Stride - padding; }

    /// The taps that find output position `X` a value in the map, from the map's position `Origin`.
    template <std::int64_t X, std::int64_t Origin>
    static constexpr auto taps_at = [] {
        constexpr auto inside = [](std::int64_t kx) {
            const std::int64_t position = begin_of(X) + kx * dilation;
            return position >= 0 && position < Input.width;
        };
        constexpr std::size_t count = [=] {
            std::size_t found = 0;
            for (std::int64_t kx = 0; kx < Kernel; ++kx) found += inside(kx);
            return found;
        }();
        std::array<WindowTap, count> result{};
        std::size_t i = 0;
        for (std::int64_t kx = 0; kx < Kernel; ++kx)
            if (inside(kx)) result[i++] = {(begin_of(X) + kx * dilation - Origin) * channels, kx * channels};
        return result;
    }();

    // Output positions that read the map alone lie between these.
    static constexpr std::int64_t inner_begin = std::min(output.width, (padding + Stride - 1) / Stride);
    static constexpr std::int64_t inner_end =
        std::max(inner_begin, Input.width + padding - reach > 0
                                  ? std::min(output.width, (Input.width + padding - reach - 1) / Stride + 1)
                                  : 0);

    /// Line y of sample n of the output, from a window that gets its rows from `source`.
    template <class Window, class Source, class Finish>
    static void forward_line(Window& window, const Source& source, const Weights<S>& weights, std::int64_t n,
                             std::int64_t y, S* to, const Finish& finish) {
        window.fill_to(source, n, y * Stride - padding + reach);
        const std::array<const S*, Kernel> rows = rows_under(window, n, y);
        std::array<const S*, Kernel> tap_rows;
        for (int ky = 0; ky < Kernel; ++ky)
            tap_rows[static_cast<std::size_t>(ky)] = weights.packed + ky * Kernel * channels;
        const auto finish_all = after_bias<Conv::bias>(weights.parameters + weight_count, finish);
        const auto edge = [&]<std::int64_t X>() {
            window_sums<channels, 0, 0, 1, taps_at<X, 0>>(rows, tap_rows, finish_all, to + X * channels);
        };
        const auto edges = [&]<std::int64_t First, std::int64_t... Xs>(std::integer_sequence<std::int64_t, Xs...>) {
            (edge.template operator()<First + Xs>(), ...);
        };
        edges.template operator()<0>(std::make_integer_sequence<std::int64_t, inner_begin>{});
        if constexpr (inner_begin < inner_end) {
            std::array<const S*, Kernel> starts = rows;
            for (const S*& start : starts) start += begin_of(inner_begin) * channels;
            window_sums<channels, Stride * channels, channels, inner_end - inner_begin,
                        taps_at<inner_begin, begin_of(inner_begin)>>(starts, tap_rows, finish_all,
                                                                     to + inner_begin * channels);
        }
        edges.template operator()<inner_end>(
            std::make_integer_sequence<std::int64_t, output.width - inner_end>{});
    }

    template <class Source, class Wrote>
    static void forward_chunk(Chunk chunk, const Weights<S>& weights, const Source& source, S* z, Wrote&& wrote,
                              S* scratch_here) {
        ForwardWindow<1> window{scratch_here, chunk.first};
        for (std::int64_t n = chunk.first; n < chunk.first + chunk.count; ++n)
            for (std::int64_t y = 0; y < output.height; ++y) {
                const std::int64_t first = (n * output.height + y) * output.width;
                forward_line(window, source, weights, n, y, z + first * channels, AsSummed<S>{});
                wrote(first, output.width);
            }
    }

    template <class Source>
    class Stream {
        using Window = ForwardWindow<rows_worthwhile(Input)>;

    public:
        static constexpr std::int64_t memory = Window::size;
        Stream(const Source& source, const Weights<S>& weights, Chunk chunk, S* memory_here)
            : source_{source}, weights_{weights}, window_{memory_here, chunk.first} {}

        template <class Finish>
        void rows(std::int64_t first, std::int64_t count, S* to, const Finish& finish) const {
            for (std::int64_t line = first / output.width; line < (first + count) / output.width; ++line)
                forward_line(window_, source_, weights_, line / output.height, line % output.height,
                             to + (line * output.width - first) * channels, finish);
        }

    private:
        const Source& source_;
        const Weights<S>& weights_;
        mutable Window window_;
    };

    template <class Source, class Gradient, class Sink>
    static void backward_chunk(Chunk chunk, const Weights<S>& weights, const Source& source,
                               const Gradient& gradient, const Sink& sink, S* partial, S* scratch_here) {
        InputWindow window{scratch_here, chunk.first};
        GradientWindow gradients{scratch_here + InputWindow::size, chunk.first};
        S* row_gradient = scratch_here + InputWindow::size + GradientWindow::size;
        for (std::int64_t n = chunk.first; n < chunk.first + chunk.count; ++n) {
            std::int64_t next = 0;  // the first row of dL/d(input) that is still to come
            for (std::int64_t y = 0; y < output.height; ++y) {
                window.fill_to(source, n, y * Stride - padding + reach);
                gradients.fill_to(gradient, n, y);
                const S* dz = gradients.row(n, y) + gradient_padding * channels;
                window_weight_gradient<Kernel, channels>(rows_under(window, n, y), Stride * channels,
                                                         dilation * channels, output.width, dz, partial);
                if constexpr (Conv::bias) add_row_sums<S>(output.width, channels, dz, partial + weight_count);
                if (!sink.wanted()) continue;
                const std::int64_t end = y + 1 == output.height
                                             ? Input.height
                                             : std::clamp<std::int64_t>((y + 1) * Stride - padding, 0, Input.height);
                for (; next < end; ++next) {
                    input_gradient_row(gradients, n, next, weights.packed, row_gradient);
                    sink((n * Input.height + next) * Input.width, Input.width, row_gradient);
                }
            }
        }
    }

    /// The taps that reach input positions with (position + padding) % Stride == Phase.
    template <std::int64_t Phase>
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
    static void input_gradient_row(const GradientWindow& gradients, std::int64_t n, std::int64_t y,
                                   const S* packed_weights, S* to) {
        const auto phases = [&]<std::int64_t Down, std::int64_t Along>() {
            constexpr auto taps_down = taps_of_phase<Down>;
            std::array<const S*, taps_down.size()> starts, tap_rows;
            constexpr std::int64_t first = ((Along - padding) % Stride + Stride) % Stride;
            constexpr std::int64_t positions = (Input.width - first + Stride - 1) / Stride;
            for (std::size_t i = 0; i < taps_down.size(); ++i) {
                // Where the window finds no row of gradients it gives zeros.
                starts[i] = gradients.row(n, (y + padding - Down) / Stride + taps_down[i].source / channels) +
                            (gradient_padding + (first + padding - Along) / Stride) * channels;
                tap_rows[i] = packed_weights + taps_down[i].weight * Kernel;
            }
            if constexpr (positions > 0)
                window_sums<channels, channels, Stride * channels, positions, taps_of_phase<Along>>(
                    starts, tap_rows, AsSummed<S>{}, to + first * channels);
        };
        [&]<std::int64_t... Phases>(std::integer_sequence<std::int64_t, Phases...>) {
            const auto row = [&]<std::int64_t Down>() { (phases.template operator()<Down, Phases>(), ...); };
            static_cast<void>((((y + padding) % Stride == Phases && (row.template operator()<Phases>(), true)) || ...));
        }(std::make_integer_sequence<std::int64_t, Stride>{});
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

template <int Kernel, int Stride, ConvOptions Options, Shape Input, class S>
struct Operation<DepthwiseConv2d<Kernel, Stride, Options>, Input, S>
    : HookedOperation<DepthwiseKernel<Kernel, Stride, Options, Input, S>, S> {};

}  // namespace bantam::cpu
