// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/core/sequence.hpp>
#include <bantam/layers/activations.hpp>
#include <bantam/layers/conv2d.hpp>
#include <bantam/layers/pooling.hpp>

#include <string_view>

namespace bantam {

/// Scales each channel of its input: y = x · layers(x), where the output of the layers is 1×1×C.
template <class... Ls>
struct ChannelGate : Layer {
    static constexpr std::string_view name = "ChannelGate";
    using Body = Sequence<Ls...>;
    using Children = ChildList<Body>;

    static constexpr Shape child_input(Shape input, int) { return input; }
    static constexpr Text<16> child_name(int) { return {}; }
    static constexpr Misfit misfit(Shape input) {
        const Shape needed{1, 1, input.channels};
        if (Body::output_shape(input) == needed) return {};
        return {Reason::gate_must_be_one_pixel_of_all_channels, Body::output_shape(input), needed, 0};
    }
    static constexpr Index multiply_adds(Shape input) { return element_count(input); }
};

/// Squeeze and excitation (Hu et al., 2018): global average pool, pointwise to C / Reduction, `Act`,
/// pointwise to C, `Final`; the result scales the input's channels.
template <int Reduction = 4, ActivationLayer Act = ReLU, ActivationLayer Final = Sigmoid>
struct SqueezeExcite {
    static constexpr std::string_view name = "SqueezeExcite";
    static constexpr std::string_view argument_error() {
        return Reduction > 0 ? "" : "it reduces the channels by a factor of at least 1";
    }
    static constexpr int squeezed(Shape input) {
        const Index channels = input.channels / Reduction;
        return static_cast<int>(channels > 0 ? channels : 1);
    }
    template <Shape Input>
    using Expansion = Sequence<ChannelGate<GlobalAveragePool, PointwiseConv2d<squeezed(Input)>, Act,
                                           PointwiseConv2d<static_cast<int>(Input.channels)>, Final>>;
    static constexpr Shape output_shape(Shape input) { return input; }
};

}  // namespace bantam
