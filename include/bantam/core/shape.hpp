// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>

namespace bantam {

/// The extents of one sample between two layers. In memory a batch is [sample][height][width][channels].
struct Shape {
    Index height;
    Index width;
    Index channels;

    constexpr bool operator==(const Shape&) const = default;
};

/// Positions of a map: height · width.
constexpr Index pixel_count(Shape shape) { return shape.height * shape.width; }

/// Scalars of one sample: height · width · channels.
constexpr Index element_count(Shape shape) { return pixel_count(shape) * shape.channels; }

}  // namespace bantam
