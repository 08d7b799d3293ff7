// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/layers/conv2d.hpp>
#include <bantam/layers/conv_geometry.hpp>
#include <bantam/layers/size2d.hpp>

#include <string_view>

namespace bantam {

/// One convolution per channel, with N·K_h·K_w weights; sizes as those of Conv2d. Weight [N, 1, K_h, K_w], bias [N].
template <SizeArgument auto KernelSize, SizeArgument auto Stride = 1, ConvOptions Options = ConvOptions{}>
struct DepthwiseConv2d : Layer {
    static constexpr std::string_view name = "DepthwiseConv2d";
    static constexpr Size2d kernel_size = KernelSize;
    static constexpr Size2d stride = Stride;
    static constexpr Size2d padding = resolved_padding(Options, KernelSize);
    static constexpr Size2d dilation = Options.dilation;
    static constexpr bool bias = Options.bias;
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
        list.add(weight_tensor("weight", {input.channels, 1, kernel_size.height, kernel_size.width}, 4,
                               kaiming_normal(input.channels * Window::taps)));
        if (bias) list.add(channel_tensor("bias", input.channels, constant(0)));
        return list;
    }
    static constexpr Index multiply_adds(Shape input) { return element_count(output_shape(input)) * Window::taps; }
};

}  // namespace bantam
