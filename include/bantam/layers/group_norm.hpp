// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/core/layer.hpp>

#include <string_view>

namespace bantam {

/// Normalizes groups of neighboring channels over all pixels of a sample (Wu & He, 2018): y = (x − mean) /
/// √(variance + ε) · weight + bias.
/// Tensors: weight and bias [C].
template <int Groups>
struct GroupNorm : Layer {
    static constexpr std::string_view name = "GroupNorm";
    static constexpr int groups = Groups;
    static constexpr double epsilon = 1e-5;

    static constexpr std::string_view argument_error() { return Groups > 0 ? "" : "it has at least one group"; }
    static constexpr Misfit misfit(Shape input) {
        if (input.channels % Groups == 0) return {};
        return {Reason::groups_do_not_divide_channels,
                input,
                {input.height, input.width, (input.channels / Groups + 1) * Groups}};
    }
    static constexpr TensorList tensors(Shape input) {
        TensorList list;
        list.add(channel_tensor("weight", input.channels, constant(1)));
        list.add(channel_tensor("bias", input.channels, constant(0)));
        return list;
    }
};

}  // namespace bantam
