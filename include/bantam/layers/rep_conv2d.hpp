// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/core/sequence.hpp>
#include <bantam/layers/batch_norm2d.hpp>
#include <bantam/layers/conv2d.hpp>
#include <bantam/layers/depthwise_conv2d.hpp>
#include <bantam/layers/foldable_add.hpp>

#include <string_view>
#include <type_traits>

namespace bantam {

namespace detail {

/// Two convolutions with batch norms, and a batch norm of the input where `Keeps`.
template <bool Keeps, class Wide, class Narrow>
using RepPaths =
    std::conditional_t<Keeps, FoldableAdd<Sequence<Wide, BatchNorm2d>, Sequence<Narrow, BatchNorm2d>, BatchNorm2d>,
                       FoldableAdd<Sequence<Wide, BatchNorm2d>, Sequence<Narrow, BatchNorm2d>>>;

}  // namespace detail

/// RepVGG's block without its activation (Ding et al., 2021): a K×K and a 1×1 convolution and, where the shape stays,
/// the input, each with a batch norm, are added. When deployed it is `Conv2d<OutChannels, KernelSize, Stride>`.
template <int OutChannels, int KernelSize = 3, int Stride = 1>
struct RepConv2d {
    static constexpr std::string_view name = "RepConv2d";

    template <Shape Input>
    using Expansion = detail::RepPaths<Stride == 1 && Input.channels == OutChannels,
                                       Conv2d<OutChannels, KernelSize, Stride, ConvOptions{.bias = false}>,
                                       Conv2d<OutChannels, 1, Stride, ConvOptions{.bias = false}>>;

    static constexpr std::string_view argument_error() {
        if (OutChannels < 1) return "it has at least one output channel";
        return conv_argument_error(KernelSize, Stride, {});
    }
    static constexpr Shape output_shape(Shape input) {
        return Conv2d<OutChannels, KernelSize, Stride>::output_shape(input);
    }
};

/// The same with depthwise convolutions (Vasu et al., MobileOne, 2023). When deployed it is
/// `DepthwiseConv2d<KernelSize, Stride>`.
template <int KernelSize = 3, int Stride = 1>
struct RepDepthwiseConv2d {
    static constexpr std::string_view name = "RepDepthwiseConv2d";

    template <Shape Input>
    using Expansion = detail::RepPaths<Stride == 1, DepthwiseConv2d<KernelSize, Stride, ConvOptions{.bias = false}>,
                                       DepthwiseConv2d<1, Stride, ConvOptions{.bias = false}>>;

    static constexpr std::string_view argument_error() { return conv_argument_error(KernelSize, Stride, {}); }
    static constexpr Shape output_shape(Shape input) {
        return DepthwiseConv2d<KernelSize, Stride>::output_shape(input);
    }
};

}  // namespace bantam
