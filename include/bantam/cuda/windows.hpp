// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/core/host_device.hpp>
#include <bantam/core/shape.hpp>
#include <bantam/cuda/split_index.hpp>

#include <cstdint>

namespace bantam::cuda {

/// Which pixels of a map a window's taps find, and which windows find a pixel. Pixels are counted over the
/// samples, taps row by row; `Index` is wide enough for the pixels of a batch.
template <Shape Input, Shape Output, std::int64_t Kernel, std::int64_t Stride, std::int64_t Padding,
          std::int64_t Dilation>
struct Windows {
    static constexpr std::int64_t taps = Kernel * Kernel;
    static constexpr std::int64_t input_pixels = pixel_count(Input), output_pixels = pixel_count(Output);

    /// The input's pixel under tap `tap` of an output pixel; −1 in the padding.
    template <class Index>
    BANTAM_HOST_DEVICE static Index pixel_under(Index output_pixel, Index tap) {
        constexpr auto height = static_cast<Index>(Input.height), width = static_cast<Index>(Input.width);
        constexpr auto kernel = static_cast<Index>(Kernel), stride = static_cast<Index>(Stride);
        constexpr auto padding = static_cast<Index>(Padding), dilation = static_cast<Index>(Dilation);
        const SplitIndex<output_pixels> in_batch{output_pixel};
        const SplitIndex<Output.width> in_sample{in_batch.rest};
        const Index y = static_cast<Index>(in_sample.whole) * stride - padding + tap / kernel * dilation;
        const Index x = static_cast<Index>(in_sample.rest) * stride - padding + tap % kernel * dilation;
        if (y < 0 || y >= height || x < 0 || x >= width) return -1;
        return (static_cast<Index>(in_batch.whole) * height + y) * width + x;
    }

    /// The output's pixel whose tap `tap` finds an input pixel; −1 where there is none.
    template <class Index>
    BANTAM_HOST_DEVICE static Index pixel_over(Index input_pixel, Index tap) {
        constexpr auto height = static_cast<Index>(Output.height), width = static_cast<Index>(Output.width);
        constexpr auto kernel = static_cast<Index>(Kernel), stride = static_cast<Index>(Stride);
        constexpr auto padding = static_cast<Index>(Padding), dilation = static_cast<Index>(Dilation);
        const SplitIndex<input_pixels> in_batch{input_pixel};
        const SplitIndex<Input.width> in_sample{in_batch.rest};
        const Index y = static_cast<Index>(in_sample.whole) + padding - tap / kernel * dilation;
        const Index x = static_cast<Index>(in_sample.rest) + padding - tap % kernel * dilation;
        if (y < 0 || x < 0 || y % stride != 0 || x % stride != 0) return -1;
        if (y / stride >= height || x / stride >= width) return -1;
        return (static_cast<Index>(in_batch.whole) * height + y / stride) * width + x / stride;
    }
};

}  // namespace bantam::cuda
