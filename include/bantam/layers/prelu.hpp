// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/core/layer.hpp>

#include <string_view>

namespace bantam {

/// x where positive, else weight · x, with one learned slope per channel (He et al., "Delving deep into rectifiers",
/// 2015). Tensor: weight [C], 0.25 at the start.
struct PReLU : Layer {
    static constexpr std::string_view name = "PReLU";

    static constexpr TensorList tensors(Shape input) {
        TensorList list;
        list.add(channel_tensor("weight", input.channels, constant(0.25)));
        return list;
    }
    static constexpr Index multiply_adds(Shape input) { return element_count(input); }
};

}  // namespace bantam
