// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/core/layer.hpp>

#include <string_view>

namespace bantam {

/// Padding that keeps height and width at stride 1: dilation · (kernel − 1) / 2, rounded down.
inline constexpr int same_padding = -1;

/// The rarer choices of a convolution, with PyTorch's meanings.
struct ConvOptions {
    int padding = same_padding;  ///< zeros added on each side
    int dilation = 1;
    int groups = 1;
    bool bias = true;
};

/// Extent after sliding a window: ⌊(extent + 2·padding − dilation·(kernel − 1) − 1) / stride⌋ + 1.
constexpr Index window_output(Index extent, int kernel, int stride, int padding, int dilation) {
    const Index room = extent + 2 * padding - dilation * (kernel - 1) - 1;
    return room < 0 ? 1 : room / stride + 1;
}

/// Whether the dilated kernel fits into the padded map; if not, the smallest shape that would fit.
constexpr Misfit window_misfit(Shape input, int kernel, int padding, int dilation) {
    const Index least = dilation * (kernel - 1) + 1 - 2 * padding;
    if (input.height >= least && input.width >= least) return {};
    return {Reason::kernel_larger_than_image,
            input,
            {input.height < least ? least : input.height, input.width < least ? least : input.width, input.channels}};
}

/// Two-dimensional convolution (cross-correlation, as in PyTorch) with square kernel, stride, zero
/// padding, dilation and groups. Input H×W×N, output H'×W'×M. Weight [M, N / groups, K, K], bias [M].
template <int OutChannels, int Kernel, int Stride = 1, ConvOptions Options = ConvOptions{}>
struct Conv2d : Layer {
    static_assert(OutChannels > 0 && Kernel > 0 && Stride > 0 && Options.dilation > 0 && Options.groups > 0 &&
                      Options.padding >= same_padding,
                  "a convolution has positive channels, kernel, stride, dilation and groups");

    static constexpr std::string_view name = "Conv2d";
    static constexpr int out_channels = OutChannels;
    static constexpr int kernel = Kernel;
    static constexpr int stride = Stride;
    static constexpr int dilation = Options.dilation;
    static constexpr int groups = Options.groups;
    static constexpr bool bias = Options.bias;
    static constexpr int padding = Options.padding == same_padding ? dilation * (Kernel - 1) / 2 : Options.padding;

    static constexpr Shape output_shape(Shape input) {
        return {window_output(input.height, kernel, stride, padding, dilation),
                window_output(input.width, kernel, stride, padding, dilation), OutChannels};
    }
    static constexpr Misfit misfit(Shape input) {
        if (input.channels % groups != 0)
            return {Reason::groups_do_not_divide_channels,
                    input,
                    {input.height, input.width, (input.channels / groups + 1) * groups}};
        if (OutChannels % groups != 0)
            return {Reason::groups_do_not_divide_output,
                    output_shape(input),
                    {output_shape(input).height, output_shape(input).width, (OutChannels / groups + 1) * groups}};
        return window_misfit(input, kernel, padding, dilation);
    }
    static constexpr TensorList tensors(Shape input) {
        const Index inputs = input.channels / groups;
        TensorList list;
        // Fan-out keeps the size of gradients on the way back, the usual choice in front of a norm.
        list.add(weight_tensor("weight", {OutChannels, inputs, kernel, kernel}, 4,
                               kaiming_normal(Index{OutChannels} * kernel * kernel / groups)));
        if (bias) list.add(channel_tensor("bias", OutChannels, constant(0)));
        return list;
    }
    static constexpr Index multiply_adds(Shape input) {
        return pixel_count(output_shape(input)) * OutChannels * (input.channels / groups) * kernel * kernel;
    }
};

/// 1×1 convolution: mixes channels at every position, N·M weights.
/// `Options` are those of one convolution, or none: nvcc 13 loses the default argument of an alias within an
/// alias, so they are a pack.
template <int OutChannels, ConvOptions... Options>
using PointwiseConv2d = Conv2d<OutChannels, 1, 1, Options...>;

}  // namespace bantam
