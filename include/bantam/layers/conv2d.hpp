// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/core/layer.hpp>
#include <bantam/layers/conv_geometry.hpp>

#include <string_view>

namespace bantam {

/// Padding that keeps height and width at stride 1: dilation · (kernel_size − 1) / 2, for odd kernel sizes.
inline constexpr int same_padding = -1;

/// The options of a convolution that are rarely changed; as in PyTorch.
struct ConvOptions {
    int padding = same_padding;  ///< zeros added on each side
    int dilation = 1;
    int groups = 1;
    bool bias = true;
};

/// What is wrong with the arguments of a convolution or depthwise convolution; empty where nothing is.
constexpr std::string_view conv_argument_error(int kernel_size, int stride, ConvOptions options) {
    if (kernel_size < 1) return "its kernel size is at least 1";
    if (stride < 1) return "its stride is at least 1";
    if (options.dilation < 1) return "its dilation is at least 1";
    if (options.groups < 1) return "its groups are at least 1";
    if (options.padding < same_padding) return "its padding is not negative";
    if (options.padding == same_padding && kernel_size % 2 == 0)
        return "an even kernel cannot keep the size of the map: use an odd kernel size or write ConvOptions{.padding = "
               "...}; input channels are deduced, so that Conv2d(in, out, kernel) of PyTorch is Conv2d<out, kernel>";
    return {};
}

/// Padding in positions, with `same_padding` resolved.
constexpr int resolved_padding(ConvOptions options, int kernel_size) {
    return options.padding == same_padding ? options.dilation * (kernel_size - 1) / 2 : options.padding;
}

/// Two-dimensional convolution (cross-correlation, as in PyTorch) with a square kernel, zero padding, dilation and
/// groups. Input H×W×N, output H'×W'×M. Weight [M, N / groups, K, K], bias [M].
template <int OutChannels, int KernelSize, int Stride = 1, ConvOptions Options = ConvOptions{}>
struct Conv2d : Layer {
    static constexpr std::string_view name = "Conv2d";
    static constexpr int out_channels = OutChannels;
    static constexpr int kernel_size = KernelSize;
    static constexpr int stride = Stride;
    static constexpr int dilation = Options.dilation;
    static constexpr int groups = Options.groups;
    static constexpr bool bias = Options.bias;
    static constexpr int padding = resolved_padding(Options, KernelSize);
    using Window = ConvWindow<kernel_size, stride, padding, dilation>;

    static constexpr std::string_view argument_error() {
        if (OutChannels < 1) return "it has at least one output channel";
        return conv_argument_error(KernelSize, Stride, Options);
    }
    static constexpr Shape output_shape(Shape input) { return Window::output_shape(input, OutChannels); }
    static constexpr Misfit misfit(Shape input) {
        if (const Misfit found = groups_misfit(groups, input)) return found;
        if (OutChannels % groups != 0)
            return {Reason::groups_do_not_divide_output,
                    output_shape(input),
                    {output_shape(input).height, output_shape(input).width, (OutChannels / groups + 1) * groups}};
        return Window::misfit(input);
    }
    static constexpr TensorList tensors(Shape input) {
        const Index inputs = input.channels / groups;
        TensorList list;
        // Fan-out keeps the variance of gradients in backward, the usual choice before a norm.
        list.add(weight_tensor("weight", {OutChannels, inputs, kernel_size, kernel_size}, 4,
                               kaiming_normal(Index{OutChannels} * Window::taps / groups)));
        if (bias) list.add(channel_tensor("bias", OutChannels, constant(0)));
        return list;
    }
    static constexpr Index multiply_adds(Shape input) {
        return pixel_count(output_shape(input)) * OutChannels * (input.channels / groups) * Window::taps;
    }
};

/// 1×1 convolution: mixes the channels of each position, N·M weights.
/// `Options` is empty or one `ConvOptions`: a pack, because nvcc 13 loses the default argument of an alias within an
/// alias.
template <int OutChannels, ConvOptions... Options>
using PointwiseConv2d = Conv2d<OutChannels, 1, 1, Options...>;

}  // namespace bantam
