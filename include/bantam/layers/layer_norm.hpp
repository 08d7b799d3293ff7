// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/core/layer.hpp>

#include <string_view>

namespace bantam {

/// Normalizes the channels of each position (Ba, Kiros & Hinton, 2016; "LayerNorm over channels" as
/// in ConvNeXt): y = (x − mean) / √(variance + ε) · weight + bias. Tensors: weight and bias [C].
struct LayerNorm : Layer {
    static constexpr std::string_view name = "LayerNorm";
    static constexpr double epsilon = 1e-5;

    static constexpr TensorList tensors(Shape input) { return norm_tensors(input.channels); }
};

}  // namespace bantam
