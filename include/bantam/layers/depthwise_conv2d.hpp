// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/layers/conv2d.hpp>

#include <string_view>

namespace bantam {

/// One convolution per channel: N·K² weights. Weight [N, 1, K, K], bias [N].
template <int KernelSize, int Stride = 1, ConvOptions Options = ConvOptions{}>
struct DepthwiseConv2d : Layer {
    static constexpr std::string_view name = "DepthwiseConv2d";
    static constexpr int kernel_size = KernelSize;
    static constexpr int stride = Stride;
    static constexpr int dilation = Options.dilation;
    static constexpr bool bias = Options.bias;
    static constexpr int padding = resolved_padding(Options, KernelSize);
    using Window = ConvWindow<kernel_size, stride, padding, dilation>;

    static constexpr std::string_view argument_error() {
        if (Options.groups != 1) return "it has one group per channel: leave ConvOptions::groups at 1";
        return conv_argument_error(KernelSize, Stride, Options);
    }
    static constexpr Shape output_shape(Shape input) { return Window::output_shape(input, input.channels); }
    static constexpr Misfit misfit(Shape input) { return Window::misfit(input); }
    static constexpr TensorList tensors(Shape input) {
        TensorList list;
        // PyTorch's fan_out counts the channels of all groups. Such small weights learn faster behind a norm than
        // weights of variance 2 / K².
        list.add(weight_tensor("weight", {input.channels, 1, kernel_size, kernel_size}, 4,
                               kaiming_normal(input.channels * Window::taps)));
        if (bias) list.add(channel_tensor("bias", input.channels, constant(0)));
        return list;
    }
    static constexpr Index multiply_adds(Shape input) { return element_count(output_shape(input)) * Window::taps; }
};

}  // namespace bantam
