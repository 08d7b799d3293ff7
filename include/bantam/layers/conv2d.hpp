// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/core/layer.hpp>
#include <bantam/layers/conv_geometry.hpp>
#include <bantam/layers/size2d.hpp>

#include <string_view>

namespace bantam {

/// Padding that keeps height and width at stride 1: dilation · (kernel_size − 1) / 2, for odd kernel sizes.
inline constexpr int same_padding = -1;

/// The options of a convolution that are rarely changed; as in PyTorch.
struct ConvOptions {
    Size2d padding = same_padding;  ///< zeros added on each side
    Size2d dilation = 1;
    int groups = 1;
    bool bias = true;
};

/// What is wrong with the arguments of a convolution or depthwise convolution; empty where nothing is.
constexpr std::string_view conv_argument_error(Size2d kernel_size, Size2d stride, ConvOptions options) {
    if (kernel_size.min() < 1) return "its kernel size is at least 1";
    if (stride.min() < 1) return "its stride is at least 1";
    if (options.dilation.min() < 1) return "its dilation is at least 1";
    if (options.groups < 1) return "its groups are at least 1";
    if (options.padding.min() < same_padding) return "its padding is not negative";
    const auto shrinks = [](int padding, int taps) { return padding == same_padding && taps % 2 == 0; };
    if (shrinks(options.padding.height, kernel_size.height) || shrinks(options.padding.width, kernel_size.width))
        return "an even kernel cannot keep the size of the map: use an odd kernel size or write ConvOptions{.padding = "
               "...}; input channels are deduced, so that Conv2d(in, out, kernel) of PyTorch is Conv2d<out, kernel>";
    return {};
}

/// Padding in positions, with `same_padding` resolved.
constexpr Size2d resolved_padding(ConvOptions options, Size2d kernel_size) {
    const auto resolved = [](int padding, int dilation, int taps) {
        return padding == same_padding ? dilation * (taps - 1) / 2 : padding;
    };
    return {resolved(options.padding.height, options.dilation.height, kernel_size.height),
            resolved(options.padding.width, options.dilation.width, kernel_size.width)};
}

/// Two-dimensional convolution (cross-correlation, as in PyTorch) with zero padding, dilation and groups. The kernel
/// is square, `Conv2d<16, 3>`, or has a height and a width, `Conv2d<16, Size2d{1, 7}>`; so do stride, padding and
/// dilation. A signal in one dimension is an Image of height 1. Input H×W×N, output H'×W'×M. Weight
/// [M, N / groups, K_h, K_w], bias [M].
template <int OutChannels, SizeArgument auto KernelSize, SizeArgument auto Stride = 1,
          ConvOptions Options = ConvOptions{}>
struct Conv2d : Layer {
    static constexpr std::string_view name = "Conv2d";
    static constexpr int out_channels = OutChannels;
    static constexpr Size2d kernel_size = KernelSize;
    static constexpr Size2d stride = Stride;
    static constexpr Size2d padding = resolved_padding(Options, KernelSize);
    static constexpr Size2d dilation = Options.dilation;
    static constexpr int groups = Options.groups;
    static constexpr bool bias = Options.bias;
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
        list.add(weight_tensor("weight", {OutChannels, inputs, kernel_size.height, kernel_size.width}, 4,
                               kaiming_normal(Index{OutChannels} * Window::taps / groups)));
        if (bias) list.add(channel_tensor("bias", OutChannels, constant(0)));
        return list;
    }
    static constexpr Index multiply_adds(Shape input) {
        return pixel_count(output_shape(input)) * OutChannels * (input.channels / groups) * Window::taps;
    }
};

/// Whether a convolution is a matrix product of the pixels as they lie in memory.
template <class Conv>
inline constexpr bool is_pointwise =
    Conv::kernel_size == 1 && Conv::stride == 1 && Conv::padding == 0 && Conv::groups == 1;

/// 1×1 convolution: mixes the channels of each position, N·M weights.
/// `Options` is empty or one `ConvOptions`: a pack, because nvcc 13 loses the default argument of an alias within an
/// alias.
template <int OutChannels, ConvOptions... Options>
using PointwiseConv2d = Conv2d<OutChannels, 1, 1, Options...>;

}  // namespace bantam
