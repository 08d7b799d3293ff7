// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/core/layer.hpp>
#include <bantam/layers/conv2d.hpp>
#include <bantam/layers/size2d.hpp>

#include <string_view>

namespace bantam {

/// The options of a transposed convolution that are rarely changed; as in PyTorch.
struct ConvTransposeOptions {
    Size2d padding = 0;         ///< rows and columns cut off at each side of the output
    Size2d output_padding = 0;  ///< rows added below and columns added on the right
    Size2d dilation = 1;
    bool bias = true;
};

/// Transposed convolution: what the gradient of a Conv2d with the same weight, stride, padding and dilation does with
/// its output's gradient, so that a stride enlarges the map. Input H×W×N, output H'×W'×M with
/// H' = (H − 1) · stride − 2 · padding + dilation · (K_h − 1) + output_padding + 1. Weight [N, M, K_h, K_w], bias [M].
template <int OutChannels, SizeArgument auto KernelSize, SizeArgument auto Stride = 1,
          ConvTransposeOptions Options = ConvTransposeOptions{}>
struct ConvTranspose2d : Layer {
    static constexpr std::string_view name = "ConvTranspose2d";
    static constexpr int out_channels = OutChannels;
    static constexpr Size2d kernel_size = KernelSize;
    static constexpr Size2d stride = Stride;
    static constexpr Size2d padding = Options.padding;
    static constexpr Size2d output_padding = Options.output_padding;
    static constexpr Size2d dilation = Options.dilation;
    static constexpr bool bias = Options.bias;
    /// The window of the convolution from the output to the input.
    using Window = ConvWindow<kernel_size, stride, padding, dilation>;
    /// That convolution's options.
    static constexpr ConvOptions transposed{.padding = padding, .dilation = dilation, .bias = false};

    static constexpr std::string_view argument_error() {
        if (OutChannels < 1) return "it has at least one output channel";
        if (padding.min() < 0) return "its padding is not negative";
        const bool smaller = output_padding.height < stride.height && output_padding.width < stride.width;
        if (output_padding.min() < 0 || !smaller) return "its output padding is from 0 to less than its stride";
        return conv_argument_error(kernel_size, stride, transposed);
    }
    static constexpr Shape output_shape(Shape input) {
        const Shape extents = extents_of(input);
        return {extents.height < 1 ? 1 : extents.height, extents.width < 1 ? 1 : extents.width, OutChannels};
    }
    static constexpr Misfit misfit(Shape input) {
        Shape needed = input;
        while (extents_of(needed).height < 1) ++needed.height;
        while (extents_of(needed).width < 1) ++needed.width;
        return input == needed ? Misfit{} : does_not_fit("its padding cuts off the whole output", input, needed);
    }
    static constexpr TensorList tensors(Shape input) {
        TensorList list;
        list.add(weight_tensor("weight", {input.channels, OutChannels, kernel_size.height, kernel_size.width}, 4,
                               kaiming_normal(Index{OutChannels} * Window::taps)));
        if (bias) list.add(channel_tensor("bias", OutChannels, constant(0)));
        return list;
    }
    static constexpr Index multiply_adds(Shape input) { return element_count(input) * OutChannels * Window::taps; }

private:
    static constexpr Shape extents_of(Shape input) {
        const auto extent = [](Index inputs, Index smallest, Index of_stride, Index added) {
            return (inputs - 1) * of_stride + smallest + added;
        };
        return {extent(input.height, Window::Rows::smallest_input, stride.height, output_padding.height),
                extent(input.width, Window::Columns::smallest_input, stride.width, output_padding.width), OutChannels};
    }
};

}  // namespace bantam
