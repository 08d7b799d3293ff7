// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/core/shape.hpp>
#include <bantam/core/text.hpp>

namespace bantam {

/// "32x32x3": height, width and channels.
constexpr Text<64> shape_text(Shape shape) {
    Text<64> text;
    text.append_number(shape.height).append('x').append_number(shape.width).append('x').append_number(shape.channels);
    return text;
}

}  // namespace bantam
