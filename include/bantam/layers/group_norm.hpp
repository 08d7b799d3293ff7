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
    static constexpr Misfit misfit(Shape input) { return groups_misfit(Groups, input); }
    static constexpr TensorList tensors(Shape input) { return norm_tensors(input.channels); }
};

}  // namespace bantam
