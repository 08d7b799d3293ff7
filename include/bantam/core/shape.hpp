// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace bantam {

/// The extent of one sample between two layers. In memory a batch is [sample][height][width][channels].
struct Shape {
    std::int64_t height;
    std::int64_t width;
    std::int64_t channels;

    constexpr bool operator==(const Shape&) const = default;
};

/// Number of positions of a map (height · width).
constexpr std::int64_t pixel_count(Shape shape) { return shape.height * shape.width; }

/// Number of scalars of one sample.
constexpr std::int64_t element_count(Shape shape) { return pixel_count(shape) * shape.channels; }

}  // namespace bantam
