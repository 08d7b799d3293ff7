// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/host_device.hpp>
#include <bantam/base/index.hpp>
#include <bantam/core/shape.hpp>
#include <bantam/cuda/runtime/split_index.hpp>

namespace bantam::cuda {

/// Which pixels of a map a window's taps find, and which windows find a pixel. Pixels are counted over the
/// samples, taps row by row; `Int` is wide enough for the pixels of a batch.
template <Shape Input, Shape Output, Index Kernel, Index Stride, Index Padding, Index Dilation>
struct Windows {
    static constexpr Index taps = Kernel * Kernel;
    static constexpr Index input_pixels = pixel_count(Input), output_pixels = pixel_count(Output);

    /// The input's pixel under tap `tap` of an output pixel; −1 in the padding.
    template <class Int>
    BANTAM_HOST_DEVICE static Int pixel_under(Int output_pixel, Int tap) {
        constexpr auto height = static_cast<Int>(Input.height), width = static_cast<Int>(Input.width);
        constexpr auto kernel = static_cast<Int>(Kernel), stride = static_cast<Int>(Stride);
        constexpr auto padding = static_cast<Int>(Padding), dilation = static_cast<Int>(Dilation);
        const SplitIndex<output_pixels> in_batch{output_pixel};
        const SplitIndex<Output.width> in_sample{in_batch.rest};
        const Int y = static_cast<Int>(in_sample.whole) * stride - padding + tap / kernel * dilation;
        const Int x = static_cast<Int>(in_sample.rest) * stride - padding + tap % kernel * dilation;
        if (y < 0 || y >= height || x < 0 || x >= width) return -1;
        return (static_cast<Int>(in_batch.whole) * height + y) * width + x;
    }

    /// The output's pixel whose tap `tap` finds an input pixel; −1 where there is none.
    template <class Int>
    BANTAM_HOST_DEVICE static Int pixel_over(Int input_pixel, Int tap) {
        constexpr auto height = static_cast<Int>(Output.height), width = static_cast<Int>(Output.width);
        constexpr auto kernel = static_cast<Int>(Kernel), stride = static_cast<Int>(Stride);
        constexpr auto padding = static_cast<Int>(Padding), dilation = static_cast<Int>(Dilation);
        const SplitIndex<input_pixels> in_batch{input_pixel};
        const SplitIndex<Input.width> in_sample{in_batch.rest};
        const Int y = static_cast<Int>(in_sample.whole) + padding - tap / kernel * dilation;
        const Int x = static_cast<Int>(in_sample.rest) + padding - tap % kernel * dilation;
        if (y < 0 || x < 0 || y % stride != 0 || x % stride != 0) return -1;
        if (y / stride >= height || x / stride >= width) return -1;
        return (static_cast<Int>(in_batch.whole) * height + y / stride) * width + x / stride;
    }
};

}  // namespace bantam::cuda
