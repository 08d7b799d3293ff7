// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/core/host_device.hpp>
#include <bantam/core/shape.hpp>
#include <bantam/cuda/split_index.hpp>

#include <cstdint>

namespace bantam::cuda {

/// Which pixels of a map a window's taps find, and which windows find a pixel. Pixels are counted over the
/// samples, taps row by row.
template <Shape Input, Shape Output, std::int64_t Kernel, std::int64_t Stride, std::int64_t Padding,
          std::int64_t Dilation>
struct Windows {
    static constexpr std::int64_t taps = Kernel * Kernel;
    static constexpr std::int64_t input_pixels = pixel_count(Input), output_pixels = pixel_count(Output);

    /// The input's pixel under tap `tap` of an output pixel; −1 in the padding.
    BANTAM_HOST_DEVICE static std::int64_t pixel_under(std::int64_t output_pixel, std::int64_t tap) {
        const SplitIndex<output_pixels> in_batch{output_pixel};
        const SplitIndex<Output.width> in_sample{in_batch.rest};
        const std::int64_t y = in_sample.whole * Stride - Padding + tap / Kernel * Dilation;
        const std::int64_t x = in_sample.rest * Stride - Padding + tap % Kernel * Dilation;
        if (y < 0 || y >= Input.height || x < 0 || x >= Input.width) return -1;
        return (in_batch.whole * Input.height + y) * Input.width + x;
    }

    /// The output's pixel whose tap `tap` finds an input pixel; −1 where there is none.
    BANTAM_HOST_DEVICE static std::int64_t pixel_over(std::int64_t input_pixel, std::int64_t tap) {
        const SplitIndex<input_pixels> in_batch{input_pixel};
        const SplitIndex<Input.width> in_sample{in_batch.rest};
        const std::int64_t y = in_sample.whole + Padding - tap / Kernel * Dilation;
        const std::int64_t x = in_sample.rest + Padding - tap % Kernel * Dilation;
        if (y < 0 || x < 0 || y % Stride != 0 || x % Stride != 0) return -1;
        if (y / Stride >= Output.height || x / Stride >= Output.width) return -1;
        return (in_batch.whole * Output.height + y / Stride) * Output.width + x / Stride;
    }
};

}  // namespace bantam::cuda
