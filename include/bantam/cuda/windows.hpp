// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/core/host_device.hpp>
#include <bantam/core/shape.hpp>

#include <cstdint>

namespace bantam::cuda {

/// Which pixels of a map a window's taps find, and which windows find a pixel. Pixels are counted over the
/// samples, taps row by row; `Index` is wide enough for the pixels of a batch.
template <Shape Input, Shape Output, std::int64_t Kernel, std::int64_t Stride, std::int64_t Padding,
          std::int64_t Dilation>
struct Windows {
    static constexpr std::int64_t taps = Kernel * Kernel;

    /// The input's pixel under tap `tap` of an output pixel; −1 in the padding.
    template <class Index>
    BANTAM_HOST_DEVICE static Index pixel_under(Index output_pixel, Index tap) {
        constexpr auto height = static_cast<Index>(Input.height), width = static_cast<Index>(Input.width);
        constexpr auto across = static_cast<Index>(Output.width), stride = static_cast<Index>(Stride);
        constexpr auto pixels = static_cast<Index>(Output.height * Output.width);
        constexpr auto padding = static_cast<Index>(Padding), dilation = static_cast<Index>(Dilation);
        const Index n = output_pixel / pixels, in_sample = output_pixel % pixels;
        const Index y = in_sample / across * stride - padding + tap / static_cast<Index>(Kernel) * dilation;
        const Index x = in_sample % across * stride - padding + tap % static_cast<Index>(Kernel) * dilation;
        if (y < 0 || y >= height || x < 0 || x >= width) return -1;
        return (n * height + y) * width + x;
    }

    /// The output's pixel whose tap `tap` finds an input pixel; −1 where there is none.
    template <class Index>
    BANTAM_HOST_DEVICE static Index pixel_over(Index input_pixel, Index tap) {
        constexpr auto height = static_cast<Index>(Output.height), width = static_cast<Index>(Output.width);
        constexpr auto across = static_cast<Index>(Input.width), stride = static_cast<Index>(Stride);
        constexpr auto pixels = static_cast<Index>(Input.height * Input.width);
        constexpr auto padding = static_cast<Index>(Padding), dilation = static_cast<Index>(Dilation);
        const Index n = input_pixel / pixels, in_sample = input_pixel % pixels;
        const Index y = in_sample / across + padding - tap / static_cast<Index>(Kernel) * dilation;
        const Index x = in_sample % across + padding - tap % static_cast<Index>(Kernel) * dilation;
        if (y < 0 || x < 0 || y % stride != 0 || x % stride != 0) return -1;
        if (y / stride >= height || x / stride >= width) return -1;
        return (n * height + y / stride) * width + x / stride;
    }
};

}  // namespace bantam::cuda
