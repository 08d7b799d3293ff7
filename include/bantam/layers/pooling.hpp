// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/core/layer.hpp>
#include <bantam/layers/conv_geometry.hpp>

#include <string_view>

namespace bantam {

/// Largest value of each window; padding is never chosen. As in PyTorch, the stride defaults to the kernel size.
template <int KernelSize, int Stride = KernelSize, int Padding = 0>
struct MaxPool2d : Layer {
    static constexpr std::string_view name = "MaxPool2d";
    static constexpr int kernel_size = KernelSize;
    static constexpr int stride = Stride;
    static constexpr int padding = Padding;

    using Window = ConvWindow<KernelSize, Stride, Padding, 1>;

    static constexpr std::string_view argument_error() {
        if (KernelSize < 1) return "its kernel size is at least 1";
        if (Stride < 1) return "its stride is at least 1";
        return Padding >= 0 && 2 * Padding <= KernelSize ? "" : "its padding is at most half of its kernel size";
    }
    static constexpr Shape output_shape(Shape input) { return Window::output_shape(input, input.channels); }
    static constexpr Misfit misfit(Shape input) { return Window::misfit(input); }
};

/// Mean of each window, padding counted as zeros (PyTorch's count_include_pad).
template <int KernelSize, int Stride = KernelSize, int Padding = 0>
struct AvgPool2d : MaxPool2d<KernelSize, Stride, Padding> {
    static constexpr std::string_view name = "AvgPool2d";
};

/// Mean over all positions. Input H×W×C, output 1×1×C.
struct GlobalAveragePool : Layer {
    static constexpr std::string_view name = "GlobalAveragePool";
    static constexpr Shape output_shape(Shape input) { return {1, 1, input.channels}; }
};

}  // namespace bantam
