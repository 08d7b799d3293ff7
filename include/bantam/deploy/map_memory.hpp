// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/core/shape.hpp>

#include <cstddef>

namespace bantam::deploy {

/// Bytes of a map, such that what lies behind it is aligned for every element.
template <class T>
constexpr Index map_bytes(Shape shape) {
    return (element_count(shape) * static_cast<Index>(sizeof(T)) + 7) / 8 * 8;
}

/// The map of `T`s that begins at `memory`, which is aligned for every element.
template <class T>
T* map_at(std::byte* memory) {
    return static_cast<T*>(static_cast<void*>(memory));
}

}  // namespace bantam::deploy
