// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>

namespace bantam {

/// A number for each axis of a map, height and width; one number stands for both.
struct Size2d {
    int height;
    int width;

    constexpr Size2d(int both) : height{both}, width{both} {}
    constexpr Size2d(int of_height, int of_width) : height{of_height}, width{of_width} {}
    friend constexpr bool operator==(const Size2d&, const Size2d&) = default;

    /// The smaller number.
    constexpr int min() const { return height < width ? height : width; }
};

/// What a layer takes as a size: a number for both axes, or a Size2d.
template <class T>
concept SizeArgument = std::integral<T> || std::same_as<T, Size2d>;

/// A size as it is written: one number where both are equal.
template <Size2d Size>
constexpr auto size_argument() {
    if constexpr (Size.height == Size.width)
        return Size.height;
    else
        return Size;
}

}  // namespace bantam
