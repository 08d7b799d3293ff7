// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/host_device.hpp>
#include <bantam/base/index.hpp>

#include <cstdint>
#include <limits>

namespace bantam {

/// i / Size and i % Size, for i >= 0. Computed in 32 bits where they hold i: a GPU takes several times as long for a
/// division in 64 bits.
template <Index Size>
struct SplitIndex {
    static constexpr Index largest = std::numeric_limits<std::int32_t>::max();

    Index whole, rest;

    BANTAM_HOST_DEVICE explicit SplitIndex(Index i) {
        if constexpr (Size <= largest) {
            if (i <= largest) {
                whole = static_cast<std::int32_t>(i) / static_cast<std::int32_t>(Size);
                rest = static_cast<std::int32_t>(i) % static_cast<std::int32_t>(Size);
                return;
            }
        }
        whole = i / Size;
        rest = i % Size;
    }
};

}  // namespace bantam
