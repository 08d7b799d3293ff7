// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/error.hpp>
#include <bantam/base/index.hpp>

#include <cstddef>
#include <string>

namespace bantam {

/// The pictures of height × width × channels in a buffer of `values` numbers. Throws Error where the last one is not
/// whole.
inline Index picture_count(std::size_t values, Index height, Index width, Index channels) {
    const auto size = static_cast<std::size_t>(height * width * channels);
    if (values % size != 0)
        throw_error("there are " + std::to_string(values) + " pixel values, no multiple of the " +
                    std::to_string(size) + " of a picture of " + std::to_string(height) + "x" + std::to_string(width) +
                    "x" + std::to_string(channels) + "; give [count][height][width][channels]");
    return static_cast<Index>(values / size);
}

}  // namespace bantam
