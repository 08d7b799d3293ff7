// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/layers/depthwise_separable.hpp>
#include <bantam/layers/residual.hpp>

#include <string_view>
#include <type_traits>

namespace bantam {

/// MobileNetV2's block (Sandler et al., 2018): pointwise to Expand·N channels, depthwise K×K, pointwise to M channels
/// without activation; the input is added where the stride is 1 and M equals N. With Expand = 1 there is no first
/// pointwise convolution, as in the paper's first block.
template <int OutChannels, int Stride = 1, int Expand = 6, int KernelSize = 3, ActivationLayer Act = ReLU6>
struct InvertedResidual {
    static constexpr std::string_view name = "InvertedResidual";

    template <Shape Input>
    using Narrow = Sequence<DepthwiseConv2d<KernelSize, Stride, ConvOptions{.bias = false}>, BatchNorm2d, Act,
                            PointwiseConv2d<OutChannels, ConvOptions{.bias = false}>, BatchNorm2d>;
    template <Shape Input>
    using Wide = Sequence<PointwiseConv2d<static_cast<int>(Input.channels) * Expand, ConvOptions{.bias = false}>,
                          BatchNorm2d, Act, Narrow<Input>>;
    template <Shape Input>
    using Body = std::conditional_t<Expand == 1, Narrow<Input>, Wide<Input>>;
    template <Shape Input>
    using Expansion =
        std::conditional_t<Stride == 1 && Input.channels == OutChannels, Sequence<Residual<Body<Input>>>, Body<Input>>;

    static constexpr std::string_view argument_error() {
        if (OutChannels < 1) return "it has at least one output channel";
        if (Expand < 1) return "its expansion factor is at least 1";
        return conv_argument_error(KernelSize, Stride, {});
    }
    static constexpr Shape output_shape(Shape input) {
        return ConvWindow<KernelSize, Stride, (KernelSize - 1) / 2, 1>::output_shape(input, OutChannels);
    }
};

}  // namespace bantam
