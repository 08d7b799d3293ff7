// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/layers/conv2d.hpp>

namespace bantam {

/// Convolution of every channel on its own: N·K² weights. Weight [N, 1, K, K], bias [N].
template <int Kernel, int Stride = 1, ConvOptions Options = ConvOptions{}>
struct DepthwiseConv2d : Layer {
    static_assert(Kernel > 0 && Stride > 0 && Options.dilation > 0 && Options.padding >= same_padding,
                  "a convolution has positive kernel, stride and dilation");
    static_assert(Options.groups == 1, "a depthwise convolution has one group a channel; leave groups alone");

    static constexpr std::string_view name = "DepthwiseConv2d";
    static constexpr int kernel = Kernel;
    static constexpr int stride = Stride;
    static constexpr int dilation = Options.dilation;
    static constexpr bool bias = Options.bias;
    static constexpr int padding = Options.padding == same_padding ? dilation * (Kernel - 1) / 2 : Options.padding;

    static constexpr Shape output_shape(Shape input) {
        return {window_output(input.height, kernel, stride, padding, dilation),
                window_output(input.width, kernel, stride, padding, dilation), input.channels};
    }
    static constexpr Misfit misfit(Shape input) { return window_misfit(input, kernel, padding, dilation); }
    static constexpr TensorList tensors(Shape input) {
        TensorList list;
        list.add(
            weight_tensor("weight", {input.channels, 1, kernel, kernel}, 4, kaiming_normal(Index{kernel} * kernel)));
        if (bias) list.add(channel_tensor("bias", input.channels, constant(0)));
        return list;
    }
    static constexpr Index multiply_adds(Shape input) { return element_count(output_shape(input)) * kernel * kernel; }
};

}  // namespace bantam
