// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/division.hpp>
#include <bantam/base/host_device.hpp>
#include <bantam/base/index.hpp>
#include <bantam/base/split_index.hpp>
#include <bantam/core/layer.hpp>
#include <bantam/core/shape.hpp>
#include <bantam/layers/size2d.hpp>

namespace bantam {

namespace detail {

constexpr Index clamp(Index x, Index low, Index high) { return x < low ? low : x > high ? high : x; }

}  // namespace detail

/// One axis of a window that slides over a map of any extent: `KernelSize` taps, `Dilation` positions apart; `Stride`
/// positions from one output to the next; `Padding` positions added at both ends. Positions and taps are counted from
/// 0.
template <int KernelSize, int Stride, int Padding, int Dilation>
struct ConvAxis {
    static constexpr int kernel_size = KernelSize;
    static constexpr int stride = Stride;
    static constexpr int padding = Padding;
    static constexpr int dilation = Dilation;

    /// How many positions the last tap lies behind the first.
    static constexpr int halo = (KernelSize - 1) * Dilation;

    /// The smallest extent of an input that gives an output.
    static constexpr Index smallest_input = halo + 1 - 2 * Padding;

    /// ⌊(input + 2·padding − dilation·(kernel_size − 1) − 1) / stride⌋ + 1, and 1 where the window does not fit.
    static constexpr Index output_extent(Index input) {
        return input < smallest_input ? 1 : (input - smallest_input) / Stride + 1;
    }
    /// How many neighboring inputs lie under the windows of `outputs` neighboring outputs.
    static constexpr Index inputs_under(Index outputs) { return (outputs - 1) * Stride + halo + 1; }

    /// The input position under tap `k` of an output; outside the map in the padding.
    template <class Int>
    BANTAM_HOST_DEVICE static constexpr Int input_position(Int output, Int k) {
        return first_input(output) + k * Int{Dilation};
    }
    template <class Int>
    BANTAM_HOST_DEVICE static constexpr Int first_input(Int output) {
        return output * Int{Stride} - Int{Padding};
    }
    template <class Int>
    BANTAM_HOST_DEVICE static constexpr Int last_input(Int output) {
        return first_input(output) + Int{halo};
    }
    /// `stride` times the output whose tap `k` lies over an input: an output if divisible by the stride and not
    /// negative.
    template <class Int>
    BANTAM_HOST_DEVICE static constexpr Int output_position_times_stride(Int input, Int k) {
        return input + Int{Padding} - k * Int{Dilation};
    }
};

/// A window that slides over a map of any extents. Its taps are counted row by row.
template <Size2d KernelSize, Size2d Stride, Size2d Padding, Size2d Dilation>
struct ConvWindow {
    using Rows = ConvAxis<KernelSize.height, Stride.height, Padding.height, Dilation.height>;
    using Columns = ConvAxis<KernelSize.width, Stride.width, Padding.width, Dilation.width>;
    static constexpr int taps = KernelSize.height * KernelSize.width;

    /// The map's shape after the window, with `channels` channels.
    static constexpr Shape output_shape(Shape input, Index channels) {
        return {Rows::output_extent(input.height), Columns::output_extent(input.width), channels};
    }
    /// Whether the window fits into the padded map; if not, the smallest shape that would fit.
    static constexpr Misfit misfit(Shape input) {
        const auto fitting = [](Index extent, Index smallest) { return extent < smallest ? smallest : extent; };
        const Shape needed{fitting(input.height, Rows::smallest_input), fitting(input.width, Columns::smallest_input),
                           input.channels};
        return input == needed ? Misfit{} : Misfit{Reason::kernel_larger_than_image, input, needed};
    }
};

/// A `ConvWindow` on maps of one size. Pixels are counted over the samples of a batch; `Int` is the type they are
/// computed in, wide enough for the pixels of a batch (a GPU is faster in 32 bits).
template <Shape Input, class Window>
struct ConvGeometry : Window {
    using Rows = typename Window::Rows;
    using Columns = typename Window::Columns;
    static constexpr Index input_height = Input.height, input_width = Input.width;
    static constexpr Index output_height = Rows::output_extent(input_height);
    static constexpr Index output_width = Columns::output_extent(input_width);
    static constexpr Index input_pixels = input_height * input_width;
    static constexpr Index output_pixels = output_height * output_width;
    static constexpr Shape padded_input{input_height + 2 * Rows::padding, input_width + 2 * Columns::padding,
                                        Input.channels};

    /// Whether a position lies in the input's rows or columns.
    template <class Int>
    BANTAM_HOST_DEVICE static constexpr bool row_inside(Int y) {
        return y >= 0 && y < static_cast<Int>(input_height);
    }
    template <class Int>
    BANTAM_HOST_DEVICE static constexpr bool column_inside(Int x) {
        return x >= 0 && x < static_cast<Int>(input_width);
    }

    /// The outputs of a row whose windows have no tap in the padding: [inner_begin, inner_end).
    static constexpr Index inner_begin = detail::clamp(ceil_div(Columns::padding, Columns::stride), 0, output_width);
    static constexpr Index inner_end = [] {
        constexpr Index behind = Columns::halo - Columns::padding;  // positions of a window after its stride's first
        if (input_width <= behind) return inner_begin;
        return detail::clamp((input_width - 1 - behind) / Columns::stride + 1, inner_begin, output_width);
    }();

    /// How many input rows have a complete gradient after output row `y`: no window of a later row reaches them.
    static constexpr Index complete_rows(Index y) {
        return y + 1 == output_height ? input_height : detail::clamp(Rows::first_input(y + 1), 0, input_height);
    }
    /// The padding of the lines of the output's gradient that all windows over the input stay within.
    static constexpr Index gradient_padding = [] {
        constexpr Index before = (Columns::halo - Columns::padding) / Columns::stride;
        constexpr Index after = (input_width - 1 + Columns::padding) / Columns::stride - (output_width - 1);
        constexpr Index larger = before > after ? before : after;
        return larger > 0 ? larger : 0;
    }();

    /// The input pixel under `tap` of an output pixel; −1 in the padding.
    template <class Int>
    BANTAM_HOST_DEVICE static Int input_pixel(Int output, Int tap) {
        constexpr auto height = static_cast<Int>(input_height), width = static_cast<Int>(input_width);
        constexpr auto kernel_width = static_cast<Int>(Columns::kernel_size);
        const SplitIndex<output_pixels> in_batch{output};
        const SplitIndex<output_width> in_sample{in_batch.rest};
        const Int y = Rows::input_position(static_cast<Int>(in_sample.whole), tap / kernel_width);
        const Int x = Columns::input_position(static_cast<Int>(in_sample.rest), tap % kernel_width);
        if (!row_inside(y) || !column_inside(x)) return -1;
        return (static_cast<Int>(in_batch.whole) * height + y) * width + x;
    }

    /// The output pixel whose `tap` lies over an input pixel; −1 where there is none.
    template <class Int>
    BANTAM_HOST_DEVICE static Int output_pixel(Int input, Int tap) {
        constexpr auto height = static_cast<Int>(output_height), width = static_cast<Int>(output_width);
        constexpr auto kernel_width = static_cast<Int>(Columns::kernel_size);
        constexpr auto stride_y = static_cast<Int>(Rows::stride), stride_x = static_cast<Int>(Columns::stride);
        const SplitIndex<input_pixels> in_batch{input};
        const SplitIndex<input_width> in_sample{in_batch.rest};
        const Int y = Rows::output_position_times_stride(static_cast<Int>(in_sample.whole), tap / kernel_width);
        const Int x = Columns::output_position_times_stride(static_cast<Int>(in_sample.rest), tap % kernel_width);
        if (y < 0 || x < 0 || y % stride_y != 0 || x % stride_x != 0) return -1;
        if (y / stride_y >= height || x / stride_x >= width) return -1;
        return (static_cast<Int>(in_batch.whole) * height + y / stride_y) * width + x / stride_x;
    }
};

}  // namespace bantam
