// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/core/layer.hpp>
#include <bantam/layers/conv_geometry.hpp>
#include <bantam/layers/size2d.hpp>

#include <string_view>

namespace bantam {

/// Largest value of each window; padding is never chosen. As in PyTorch, the stride defaults to the kernel size.
/// Sizes are one number or a Size2d, as those of Conv2d.
template <SizeArgument auto KernelSize, SizeArgument auto Stride = KernelSize, SizeArgument auto Padding = 0>
struct MaxPool2d : Layer {
    static constexpr std::string_view name = "MaxPool2d";
    static constexpr Size2d kernel_size = KernelSize;
    static constexpr Size2d stride = Stride;
    static constexpr Size2d padding = Padding;

    using Window = ConvWindow<kernel_size, stride, padding, 1>;

    static constexpr std::string_view argument_error() {
        if (kernel_size.min() < 1) return "its kernel size is at least 1";
        if (stride.min() < 1) return "its stride is at least 1";
        const bool at_most_half = 2 * padding.height <= kernel_size.height && 2 * padding.width <= kernel_size.width;
        return padding.min() >= 0 && at_most_half ? "" : "its padding is at most half of its kernel size";
    }
    static constexpr Shape output_shape(Shape input) { return Window::output_shape(input, input.channels); }
    static constexpr Misfit misfit(Shape input) { return Window::misfit(input); }
};

/// Mean of each window, padding counted as zeros (PyTorch's count_include_pad).
template <SizeArgument auto KernelSize, SizeArgument auto Stride = KernelSize, SizeArgument auto Padding = 0>
struct AvgPool2d : MaxPool2d<KernelSize, Stride, Padding> {
    static constexpr std::string_view name = "AvgPool2d";
};

/// Mean over all positions. Input H×W×C, output 1×1×C.
struct GlobalAveragePool : Layer {
    static constexpr std::string_view name = "GlobalAveragePool";
    static constexpr Shape output_shape(Shape input) { return {1, 1, input.channels}; }
};

}  // namespace bantam
