// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/core/layer.hpp>

#include <string_view>
#include <type_traits>

namespace bantam {

/// In training each scalar is zeroed with probability Percent / 100 and the others are scaled by
/// 1 / (1 − p); inference is the identity (Srivastava et al., 2014).
template <auto Percent>
struct Dropout : Layer {
    static constexpr std::string_view name = "Dropout";
    static constexpr double probability = Percent / 100.0;

    static constexpr std::string_view argument_error() {
        if (!std::is_same_v<decltype(Percent), const int> && !std::is_same_v<decltype(Percent), int>)
            return "it takes whole percent: Dropout(0.5) of PyTorch is Dropout<50>";
        return Percent >= 0 && Percent < 100 ? "" : "it drops at least 0 and less than 100 percent";
    }
};

}  // namespace bantam
