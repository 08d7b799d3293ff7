// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/layers/conv2d.hpp>

namespace bantam {

/// Largest value of every window; padding never wins. Defaults as in PyTorch: stride = kernel.
template <int Kernel, int Stride = Kernel, int Padding = 0>
struct MaxPool2d : Layer {
    static_assert(Kernel > 0 && Stride > 0 && Padding >= 0 && 2 * Padding <= Kernel,
                  "a pooling window is positive and its padding at most half of it");
    static constexpr std::string_view name = "MaxPool2d";
    static constexpr int kernel = Kernel;
    static constexpr int stride = Stride;
    static constexpr int padding = Padding;

    static constexpr Shape output_shape(Shape input) {
        return {window_output(input.height, Kernel, Stride, Padding, 1),
                window_output(input.width, Kernel, Stride, Padding, 1), input.channels};
    }
    static constexpr Misfit misfit(Shape input) { return window_misfit(input, Kernel, Padding, 1); }
};

/// Mean of every window, padding counted as zeros (PyTorch's count_include_pad).
template <int Kernel, int Stride = Kernel, int Padding = 0>
struct AvgPool2d : MaxPool2d<Kernel, Stride, Padding> {
    static constexpr std::string_view name = "AvgPool2d";
};

/// Mean over all positions. Input H×W×C, output 1×1×C.
struct GlobalAveragePool : Layer {
    static constexpr std::string_view name = "GlobalAveragePool";
    static constexpr Shape output_shape(Shape input) { return {1, 1, input.channels}; }
};

}  // namespace bantam
