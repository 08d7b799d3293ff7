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

/// out[x, c] = bias[c] + Σ over `rows` and `Taps` of source · weight, for `count` positions that lie
/// `in_step` and `out_step` scalars apart.
template <std::int64_t Channels, std::size_t Taps, class S>
void window_sums(std::int64_t rows, const S* const* sources, const S* const* weights,
                 const std::array<WindowTap, Taps>& taps, std::int64_t in_step, std::int64_t out_step,
                 std::int64_t count, const S* bias, S* out) {
    // Several positions share each weight that is fetched, and neighbours the values under it.
    constexpr int together = 4;
    std::int64_t x = 0;
    const auto positions = [&]<int Count>() {
        for_each_vector<S, Channels>([&](std::int64_t c, auto fetch, auto put) {
            Vector<S> sums[Count];
            BANTAM_UNROLL(4)
            for (int i = 0; i < Count; ++i) sums[i] = bias ? fetch(bias + c) : Vector<S>{};
            for (std::int64_t row = 0; row < rows; ++row) {
                const S* from = sources[row] + x * in_step + c;
                BANTAM_UNROLL(7)
                for (std::size_t tap = 0; tap < Taps; ++tap) {
                    const Vector<S> w = fetch(weights[row] + taps[tap].weight + c);
                    BANTAM_UNROLL(4)
                    for (int i = 0; i < Count; ++i) sums[i] += fetch(from + taps[tap].source + i * in_step) * w;
                }
            }
            BANTAM_UNROLL(4)
            for (int i = 0; i < Count; ++i) put(out + (x + i) * out_step + c, sums[i]);
        });
        x += Count;
    };
    while (x + together <= count) positions.template operator()<together>();
    while (x < count) positions.template operator()<1>();
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

    static constexpr auto taps_along_x = [] {
        std::array<WindowTap, Kernel> result{};
        for (int kx = 0; kx < Kernel; ++kx)
            result[static_cast<std::size_t>(kx)] = {kx * dilation * channels, kx * channels};
        return result;
    }();

    /// Line y of sample n of the output, from a window that gets its rows from `source`.
    template <class Window, class Source>
    static void forward_line(Window& window, const Source& source, const Weights<S>& weights, std::int64_t n,
                             std::int64_t y, S* to) {
        window.fill_to(source, n, y * Stride - padding + reach);
        const std::array<const S*, Kernel> rows = rows_under(window, n, y);
        std::array<const S*, Kernel> tap_rows;
        for (int ky = 0; ky < Kernel; ++ky)
            tap_rows[static_cast<std::size_t>(ky)] = weights.packed + ky * Kernel * channels;
        window_sums<channels>(Kernel, rows.data(), tap_rows.data(), taps_along_x, Stride * channels, channels,
                              output.width, Conv::bias ? weights.parameters + weight_count : nullptr, to);
    }

    template <class Source, class Wrote>
    static void forward_chunk(Chunk chunk, const Weights<S>& weights, const Source& source, S* z, Wrote&& wrote,
                              S* scratch_here) {
        InputWindow window{scratch_here, chunk.first};
        for (std::int64_t n = chunk.first; n < chunk.first + chunk.count; ++n)
            for (std::int64_t y = 0; y < output.height; ++y) {
                const std::int64_t first = (n * output.height + y) * output.width;
                forward_line(window, source, weights, n, y, z + first * channels);
                wrote(first, output.width);
            }
    }

    template <class Source>
    class Stream {
        static constexpr std::int64_t batch = rows_worthwhile(Input);
        using Window = RowWindow<Input, padding, reach + batch, S, batch>;

    public:
        static constexpr std::int64_t memory = Window::size;
        Stream(const Source& source, const Weights<S>& weights, Chunk chunk, S* memory_here)
            : source_{source}, weights_{weights}, window_{memory_here, chunk.first} {}

        const S* rows(std::int64_t first, std::int64_t count, S* to) const {
            for (std::int64_t line = first / output.width; line < (first + count) / output.width; ++line)
                forward_line(window_, source_, weights_, line / output.height, line % output.height,
                             to + (line * output.width - first) * channels);
            return to;
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

    /// The taps along x that reach the input positions with (x + padding) % Stride == Phase.
    template <std::int64_t Phase>
    static constexpr auto taps_of_phase = [] {
        constexpr std::size_t count = [] {
            std::size_t found = 0;
            for (int kx = 0; kx < Kernel; ++kx) found += kx * dilation % Stride == Phase;
            return found;
        }();
        std::array<WindowTap, count> result{};
        std::size_t i = 0;
        for (int kx = 0; kx < Kernel; ++kx)
            if (kx * dilation % Stride == Phase)
                result[i++] = {-(kx * dilation - Phase) / Stride * channels, kx * channels};
        return result;
    }();

    /// Row y of sample n of dL/d(input).
    static void input_gradient_row(const GradientWindow& gradients, std::int64_t n, std::int64_t y,
                                   const S* packed_weights, S* to) {
        std::array<const S*, Kernel> rows{}, tap_rows{};
        std::size_t count = 0;
        for (int ky = 0; ky < Kernel; ++ky) {
            const std::int64_t from = y + padding - ky * dilation;
            if (from < 0 || from % Stride != 0 || from / Stride >= output.height) continue;
            rows[count] = gradients.row(n, from / Stride) + gradient_padding * channels;
            tap_rows[count++] = packed_weights + ky * Kernel * channels;
        }
        const auto phase = [&]<std::int64_t Phase>() {
            constexpr std::int64_t first = ((Phase - padding) % Stride + Stride) % Stride;
            constexpr std::int64_t positions = (Input.width - first + Stride - 1) / Stride;
            std::array<const S*, Kernel> starts = rows;
            for (std::size_t i = 0; i < count; ++i) starts[i] += (first + padding - Phase) / Stride * channels;
            window_sums<channels>(static_cast<std::int64_t>(count), starts.data(), tap_rows.data(),
                                  taps_of_phase<Phase>, channels, Stride * channels, positions,
                                  static_cast<const S*>(nullptr), to + first * channels);
        };
        [&]<std::int64_t... Phases>(std::integer_sequence<std::int64_t, Phases...>) {
            (phase.template operator()<Phases>(), ...);
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
