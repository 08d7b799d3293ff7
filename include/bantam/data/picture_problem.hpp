// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace bantam {

/// What can be wrong with a picture file.
enum class PictureProblem {
    none,
    unreadable,
    empty,
    not_a_picture,
    truncated,
    too_large,
    cmyk,
    unsupported,
    damaged,
};

inline constexpr std::size_t picture_problem_count = 9;

/// A short phrase that follows a file name: "photo.jpg is truncated".
constexpr std::string_view picture_problem_text(PictureProblem problem) {
    constexpr std::array<std::string_view, picture_problem_count> texts{
        "is sound",
        "cannot be read",
        "is empty",
        "is not a JPEG, PNG or BMP picture",
        "is truncated",
        "is too large",
        "is a CMYK picture (convert it to RGB)",
        "is of a kind that is not supported (arithmetic, lossless or 12-bit JPEG, compressed BMP)",
        "is damaged",
    };
    return texts[static_cast<std::size_t>(problem)];
}

/// Limits checked before any pixel is decoded.
struct PictureLimits {
    std::uint64_t pixels = 64'000'000;
    std::uint64_t bytes = 256'000'000;

    bool allow(std::uint64_t height, std::uint64_t width) const { return height == 0 || width <= pixels / height; }
};

namespace detail {

/// The result of checking a picture file's structure.
struct CheckedPicture {
    PictureProblem problem = PictureProblem::none;
    /// As stored, before the orientation is applied.
    std::uint64_t height = 0;
    std::uint64_t width = 0;
    /// EXIF orientation, 1 to 8.
    int orientation = 1;
    /// The file ends early; only where the decoder finds all pixels is the picture whole.
    bool is_cut = false;
    /// The same picture as a file of checked parts only, which the decoder reads in place of the original.
    std::vector<std::uint8_t> plain;
};

}  // namespace detail

}  // namespace bantam
