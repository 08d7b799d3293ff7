// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/core/layer.hpp>

#include <string_view>

namespace bantam {

/// Normalizes each channel over batch and positions (Ioffe & Szegedy, 2015):
/// y = (x − mean) / √(variance + ε) · weight + bias. Training uses the batch's statistics and updates the running
/// statistics with `momentum` (with the unbiased variance, as in PyTorch); inference uses the running statistics.
/// Tensors: weight, bias, running_mean, running_var, all [C].
struct BatchNorm2d : Layer {
    static constexpr std::string_view name = "BatchNorm2d";
    static constexpr double epsilon = 1e-5;
    static constexpr double momentum = 0.1;

    static constexpr TensorList tensors(Shape input) {
        TensorList list = norm_tensors(input.channels);
        list.add(statistic_tensor("running_mean", input.channels, constant(0)));
        list.add(statistic_tensor("running_var", input.channels, constant(1)));
        return list;
    }
};

}  // namespace bantam
