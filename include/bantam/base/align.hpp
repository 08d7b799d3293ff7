// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/bfloat16.hpp>
#include <bantam/base/index.hpp>

namespace bantam {

/// How many `S` take the memory of one Compute<S>.
template <class S>
inline constexpr Index storage_per_compute = sizeof(Compute<S>) / sizeof(S);

/// `count` scalars of type S, rounded up so that what follows begins at a multiple of 16 bytes.
template <class S>
constexpr Index align_up(Index count) {
    constexpr auto multiple = static_cast<Index>(16 / sizeof(S));
    return (count + multiple - 1) / multiple * multiple;
}

}  // namespace bantam
