// SPDX-License-Identifier: MIT
// Needs stb_image (Debian: libstb-dev). Its implementation is compiled into every translation unit
// that includes this header, so include it where pictures are read and nowhere else.
#pragma once

#include <bantam/base/error.hpp>
#include <bantam/data/check_bmp.hpp>
#include <bantam/data/check_jpeg.hpp>
#include <bantam/data/check_png.hpp>
#include <bantam/data/picture_bytes.hpp>
#include <bantam/data/picture_problem.hpp>
#include <bantam/data/stb_decoder.hpp>
#include <bantam/io/read_file.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <memory>
#include <new>
#include <span>
#include <utility>
#include <vector>

namespace bantam {

/// A decoded picture: 8-bit RGB, [height][width][3].
struct Picture {
    int height = 0;
    int width = 0;
    std::vector<std::uint8_t> rgb;
};

/// A picture, or why there is none.
struct DecodedPicture {
    Picture picture;
    PictureProblem problem = PictureProblem::none;
};

namespace detail {

inline CheckedPicture check_picture(Bytes bytes, const PictureLimits& limits) {
    const auto refused = [](PictureProblem problem) { return CheckedPicture{.problem = problem, .plain = {}}; };
    if (bytes.empty()) return refused(PictureProblem::empty);
    if (bytes.size() > limits.bytes) return refused(PictureProblem::too_large);
    if (starts_with(bytes, "\xff\xd8\xff")) return JpegCheck{bytes, limits}.run();
    if (starts_with(bytes, "\x89PNG\r\n\x1a\n")) return check_png(bytes, limits);
    if (starts_with(bytes, "BM")) return check_bmp(bytes, limits);
    return refused(PictureProblem::not_a_picture);
}

/// Applies an EXIF orientation to a stored picture, RGBA [height][width][4], and drops alpha.
/// Orientations 5 to 8 exchange height and width.
inline void orient_picture(const std::uint8_t* stored, int height, int width, int orientation, Picture& picture) {
    constexpr std::ptrdiff_t stored_channels = 4;
    constexpr std::ptrdiff_t channels = 3;
    const std::ptrdiff_t column_step = stored_channels;
    const std::ptrdiff_t row_step = stored_channels * width;
    const bool transposed = orientation >= 5;
    // Rows and columns of the stored picture run backward.
    const bool bottom_up = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
    const bool right_to_left = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
    const std::uint8_t* first = stored;
    if (bottom_up) first += (height - 1) * row_step;
    if (right_to_left) first += (width - 1) * column_step;
    const std::ptrdiff_t down = bottom_up ? -row_step : row_step;
    const std::ptrdiff_t right = right_to_left ? -column_step : column_step;

    picture.height = transposed ? width : height;
    picture.width = transposed ? height : width;
    // A pixel's alpha is written, too, and then the next pixel in its place.
    picture.rgb.resize(static_cast<std::size_t>(channels * height * width + 1));
    std::uint8_t* target = picture.rgb.data();
    for (int row = 0; row < picture.height; ++row) {
        const std::uint8_t* pixel = first + row * (transposed ? right : down);
        const std::ptrdiff_t next = transposed ? down : right;
        for (int column = 0; column < picture.width; ++column, pixel += next, target += channels)
            std::memcpy(target, pixel, stored_channels);
    }
    picture.rgb.pop_back();
}

}  // namespace detail

/// Decodes a JPEG, PNG or BMP file's bytes to RGB. Gray pictures become RGB, alpha is dropped, an EXIF orientation is
/// applied. A file is checked before it is decoded: every byte of the result comes from the file, except that a color
/// missing from a palette is black. Returns what is wrong with bad input, and the picture is then empty. The memory of
/// `picture` is used again. Throws std::bad_alloc where memory does not suffice.
inline PictureProblem decode_picture(std::span<const std::uint8_t> bytes, const PictureLimits& limits,
                                     Picture& picture) {
    const auto refused = [&](PictureProblem problem) {
        picture.height = picture.width = 0;
        picture.rgb.clear();
        return problem;
    };
    const detail::CheckedPicture checked = detail::check_picture(bytes, limits);
    if (checked.problem != PictureProblem::none) return refused(checked.problem);

    // Four channels, which the decoder converts from YCbCr faster than three; alpha is dropped below.
    // Its blocks hold at most 16 bytes per pixel, in whole units of up to 32x32 pixels, or the file itself.
    constexpr std::uint64_t unit = 32;
    const std::uint64_t block =
        20 * (checked.height + unit) * (checked.width + unit) + 2 * checked.plain.size() + 65536;
    detail::DecoderMemory& memory = detail::DecoderMemory::of_this_thread();
    memory.begin(static_cast<std::size_t>(std::min<std::uint64_t>(block, std::uint64_t{1} << 30)));
    int width = 0;
    int height = 0;
    int channels = 0;
    const std::unique_ptr<std::uint8_t, void (*)(void*)> pixels{
        detail::stb::stbi_load_from_memory(checked.plain.data(), static_cast<int>(checked.plain.size()), &width,
                                           &height, &channels, 4),
        [](void* decoded) { detail::DecoderMemory::of_this_thread().release(decoded); }};
    if (!pixels && memory.exhausted()) throw std::bad_alloc{};
    if (!pixels || static_cast<std::uint64_t>(width) != checked.width ||
        static_cast<std::uint64_t>(height) != checked.height)
        return refused(checked.is_cut ? PictureProblem::truncated : PictureProblem::damaged);
    detail::orient_picture(pixels.get(), height, width, checked.orientation, picture);
    return PictureProblem::none;
}

/// The same in a picture of its own.
inline DecodedPicture decode_picture(std::span<const std::uint8_t> bytes, const PictureLimits& limits = {}) {
    DecodedPicture decoded;
    decoded.problem = decode_picture(bytes, limits, decoded.picture);
    return decoded;
}

/// Reads the bytes of a picture file. Where it is missing, no regular file, empty or larger than the limit, returns the
/// problem and leaves `bytes` empty. Throws Error where the system fails to read it, which says nothing about the
/// picture.
inline PictureProblem read_picture_file(const std::filesystem::path& path, std::vector<std::uint8_t>& bytes,
                                        const PictureLimits& limits = {}) {
    bytes.clear();
    if (!std::filesystem::is_regular_file(file_status(path))) return PictureProblem::unreadable;
    InputFile file{path};
    if (file.size() == 0) return PictureProblem::empty;
    if (file.size() > limits.bytes) return PictureProblem::too_large;
    bytes.resize(file.size());
    file.read(0, bytes.data(), bytes.size());
    return PictureProblem::none;
}

/// Reads and decodes a picture file; see read_picture_file and the overload above.
inline DecodedPicture decode_picture(const std::filesystem::path& path, const PictureLimits& limits = {}) {
    std::vector<std::uint8_t> bytes;
    const PictureProblem problem = read_picture_file(path, bytes, limits);
    if (problem != PictureProblem::none) return {{}, problem};
    return decode_picture(std::span<const std::uint8_t>{bytes}, limits);
}

}  // namespace bantam
