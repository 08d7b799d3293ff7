// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/core/layer.hpp>

#include <string_view>

namespace bantam {

/// eˣ / Σ eˣ over the channels of each position: weights between 0 and 1 that sum to 1, such as those of a gate.
struct Softmax : Layer {
    static constexpr std::string_view name = "Softmax";

    static constexpr std::string_view last_layer_error() {
        return "leave it out: a network ends with its logits, and the loss does the rest";
    }
};

}  // namespace bantam
