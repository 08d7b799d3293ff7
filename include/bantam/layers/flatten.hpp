// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/core/layer.hpp>

#include <string_view>

namespace bantam {

/// H×W×C to 1×1×(H·W·C) in memory order (height, width, channels).
struct Flatten : Layer {
    static constexpr std::string_view name = "Flatten";
    static constexpr Shape output_shape(Shape input) { return {1, 1, element_count(input)}; }
};

}  // namespace bantam
