// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/core/layer.hpp>

#include <string_view>

/// y = scale · x, with one learned scale per channel.
struct LearnedScale : bantam::Layer {
    static constexpr std::string_view name = "LearnedScale";

    static constexpr bantam::TensorList tensors(bantam::Shape input) {
        bantam::TensorList list;
        list.add(bantam::channel_tensor("scale", input.channels, bantam::constant(1)));
        return list;
    }
    static constexpr bantam::Index multiply_adds(bantam::Shape input) { return element_count(input); }
};
