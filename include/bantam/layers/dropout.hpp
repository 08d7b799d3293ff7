// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/core/layer.hpp>

#include <string_view>

namespace bantam {

/// In training each scalar is zeroed with probability Percent / 100 and the others are scaled by
/// 1 / (1 − p); inference is the identity (Srivastava et al., 2014).
template <int Percent>
struct Dropout : Layer {
    static_assert(Percent >= 0 && Percent < 100, "the dropped percentage is in [0, 100)");
    static constexpr std::string_view name = "Dropout";
    static constexpr double probability = Percent / 100.0;
};

}  // namespace bantam
