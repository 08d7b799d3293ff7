// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/core/layer.hpp>

#include <string_view>
#include <type_traits>

namespace bantam {

/// Whether a linear layer adds a bias.
enum class Bias { without, with };

/// Fully connected: y = W·x + b on a 1×1×N input (pool or flatten first). Weight [M, N], bias [M]. `WithBias` is a
/// Bias.
template <int OutFeatures, auto WithBias = Bias::with>
struct Linear : Layer {
    static constexpr std::string_view name = "Linear";
    static constexpr int out_channels = OutFeatures;
    static constexpr bool bias = WithBias == Bias::with;

    static constexpr std::string_view argument_error() {
        if (!std::is_same_v<std::remove_const_t<decltype(WithBias)>, Bias>)
            return "the inputs follow from the layer before: Linear(in, out) of PyTorch is Linear<out>";
        return OutFeatures > 0 ? "" : "it has at least one output";
    }
    static constexpr Shape output_shape(Shape) { return {1, 1, OutFeatures}; }
    static constexpr Misfit misfit(Shape input) {
        if (pixel_count(input) == 1) return {};
        return {Reason::map_was_not_pooled, input, {1, 1, input.channels}};
    }
    static constexpr TensorList tensors(Shape input) {
        TensorList list;
        list.add(weight_tensor("weight", {OutFeatures, input.channels, 0, 0}, 2, uniform_fan_in(input.channels)));
        if (bias) list.add(channel_tensor("bias", OutFeatures, uniform_fan_in(input.channels)));
        return list;
    }
    static constexpr Index multiply_adds(Shape input) { return input.channels * OutFeatures; }
};

}  // namespace bantam
