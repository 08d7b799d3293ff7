// SPDX-License-Identifier: MIT
// Needs stb_image (Debian: libstb-dev). Its implementation is compiled into every translation unit
// that includes this header, so include it where pictures are read and nowhere else.
#pragma once

#include <bantam/base/error.hpp>
#include <bantam/base/index.hpp>
#include <bantam/io/read_file.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <span>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace bantam::detail {

// A compressed stream may claim any expanded size; no valid picture within the limits needs a larger
// allocation than this.
inline constexpr std::size_t largest_allocation = std::size_t{1} << 30;

inline void* picture_malloc(std::size_t bytes) { return bytes > largest_allocation ? nullptr : std::malloc(bytes); }

inline void* picture_realloc(void* memory, std::size_t bytes) {
    return bytes > largest_allocation ? nullptr : std::realloc(memory, bytes);
}

}  // namespace bantam::detail

#define STB_IMAGE_STATIC
#define STB_IMAGE_IMPLEMENTATION
#define STBI_ONLY_JPEG
#define STBI_ONLY_PNG
#define STBI_ONLY_BMP
#define STBI_NO_STDIO
#define STBI_MALLOC(bytes) ::bantam::detail::picture_malloc(bytes)
#define STBI_REALLOC(memory, bytes) ::bantam::detail::picture_realloc(memory, bytes)
#define STBI_FREE(memory) std::free(memory)
#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpragmas"
#pragma GCC diagnostic ignored "-Wall"
#pragma GCC diagnostic ignored "-Wextra"
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wpedantic"
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wold-style-cast"
#endif
#include <stb/stb_image.h>
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif
#undef STB_IMAGE_IMPLEMENTATION

namespace bantam {

/// A decoded picture: 8-bit RGB, [height][width][3].
struct Picture {
    int height = 0;
    int width = 0;
    std::vector<std::uint8_t> rgb;
};

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
};

/// A picture, or why there is none.
struct DecodedPicture {
    Picture picture;
    PictureProblem problem = PictureProblem::none;
};

namespace detail {

using Bytes = std::span<const std::uint8_t>;

struct PictureHeader {
    PictureProblem problem = PictureProblem::none;
    std::uint64_t height = 0;
    std::uint64_t width = 0;
};

inline std::uint64_t big_endian(Bytes bytes, std::size_t position, std::size_t count) {
    std::uint64_t value = 0;
    for (std::size_t index = 0; index < count; ++index) value = value << 8 | bytes[position + index];
    return value;
}

inline std::uint64_t little_endian(Bytes bytes, std::size_t position, std::size_t count) {
    std::uint64_t value = 0;
    for (std::size_t index = count; index-- > 0;) value = value << 8 | bytes[position + index];
    return value;
}

inline bool starts_with(Bytes bytes, std::string_view magic) {
    return bytes.size() >= magic.size() && std::memcmp(bytes.data(), magic.data(), magic.size()) == 0;
}

// A Huffman table has at most 256 codes; the decoder writes as many as the segment claims (T.81, B.2.4.2).
inline bool huffman_tables_are_sound(Bytes segment) {
    constexpr std::size_t lengths = 16;
    while (!segment.empty()) {
        if (segment.size() < 1 + lengths) return false;
        std::size_t codes = 0;
        for (const std::uint8_t count : segment.subspan(1, lengths)) codes += count;
        if (codes > 256 || segment.size() < 1 + lengths + codes) return false;
        segment = segment.subspan(1 + lengths + codes);
    }
    return true;
}

// The decoder fills missing data with gray, so a truncated file is detected here by walking to the end marker
// (ITU-T T.81, B.1).
inline PictureHeader inspect_jpeg(Bytes bytes) {
    PictureHeader header;
    bool frame_seen = false;
    bool scan_seen = false;
    for (std::size_t position = 2;;) {
        while (position < bytes.size() && bytes[position] != 0xff) ++position;
        while (position < bytes.size() && bytes[position] == 0xff) ++position;
        if (position >= bytes.size()) return {PictureProblem::truncated};
        const std::uint8_t marker = bytes[position++];
        const bool stuffing_or_restart = marker <= 0x01 || (marker >= 0xd0 && marker <= 0xd8);
        if (stuffing_or_restart) continue;
        if (marker == 0xd9) {
            if (!frame_seen || !scan_seen) return {PictureProblem::damaged};
            return header;
        }
        if (position + 2 > bytes.size()) return {PictureProblem::truncated};
        const std::size_t length = big_endian(bytes, position, 2);
        if (length < 2) return {PictureProblem::damaged};
        if (position + length > bytes.size()) return {PictureProblem::truncated};
        const bool frame = marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc;
        if (frame && !frame_seen) {
            if (length < 8) return {PictureProblem::damaged};
            frame_seen = true;
            header.height = big_endian(bytes, position + 3, 2);
            header.width = big_endian(bytes, position + 5, 2);
            if (bytes[position + 7] == 4) return {PictureProblem::cmyk};
            const bool eight_bit = bytes[position + 2] == 8;
            if (marker > 0xc2 || !eight_bit) return {PictureProblem::unsupported};
        }
        if (marker == 0xc4 && !huffman_tables_are_sound(bytes.subspan(position + 2, length - 2)))
            return {PictureProblem::damaged};
        scan_seen = scan_seen || marker == 0xda;
        position += length;
    }
}

inline PictureHeader inspect_png(Bytes bytes) {
    PictureHeader header;
    for (std::size_t position = 8;;) {
        if (bytes.size() - position < 12) return {PictureProblem::truncated};
        const std::uint64_t length = big_endian(bytes, position, 4);
        if (length > bytes.size() - position - 12) return {PictureProblem::truncated};
        const auto name = bytes.subspan(position + 4, 4);
        if (position == 8) {
            if (!starts_with(name, "IHDR") || length != 13) return {PictureProblem::damaged};
            header.width = big_endian(bytes, 16, 4);
            header.height = big_endian(bytes, 20, 4);
        }
        if (starts_with(name, "IEND")) return header;
        position += static_cast<std::size_t>(length) + 12;
    }
}

inline PictureHeader inspect_bmp(Bytes bytes) {
    if (bytes.size() < 30) return {PictureProblem::truncated};
    const bool old_header = little_endian(bytes, 14, 4) == 12;
    const auto extent = [&](std::size_t position) {
        // A negative height means rows from top to bottom.
        const auto stored = static_cast<std::int32_t>(little_endian(bytes, position, 4));
        return static_cast<std::uint64_t>(std::abs(static_cast<Index>(stored)));
    };
    PictureHeader header;
    header.width = old_header ? little_endian(bytes, 18, 2) : extent(18);
    header.height = old_header ? little_endian(bytes, 20, 2) : extent(22);
    const std::uint64_t pixel_bits = little_endian(bytes, old_header ? 24 : 28, 2);
    const std::uint64_t row_bytes = (header.width * pixel_bits + 31) / 32 * 4;
    const std::uint64_t start = little_endian(bytes, 10, 4);
    // Any row count beyond the file's size is truncated; testing it first keeps the product small.
    if (start > bytes.size() || header.height > bytes.size() ||
        (row_bytes != 0 && header.height > (bytes.size() - start) / row_bytes))
        header.problem = PictureProblem::truncated;
    return header;
}

inline PictureHeader inspect_picture(Bytes bytes) {
    if (bytes.empty()) return {PictureProblem::empty};
    if (starts_with(bytes, "\xff\xd8\xff")) return inspect_jpeg(bytes);
    if (starts_with(bytes, "\x89PNG\r\n\x1a\n")) return inspect_png(bytes);
    if (starts_with(bytes, "BM")) return inspect_bmp(bytes);
    return {PictureProblem::not_a_picture};
}

}  // namespace detail

/// Decodes a JPEG, PNG or BMP file's bytes to RGB. Gray pictures become RGB, alpha is dropped, an
/// EXIF orientation is not applied (PyTorch's ImageFolder does the same three things). Bad input is reported in
/// `problem`, not thrown; the picture is then empty.
inline DecodedPicture decode_picture(std::span<const std::uint8_t> bytes, const PictureLimits& limits = {}) {
    const auto refused = [](PictureProblem problem) { return DecodedPicture{{}, problem}; };
    if (bytes.size() > limits.bytes) return refused(PictureProblem::too_large);
    const detail::PictureHeader header = detail::inspect_picture(bytes);
    const bool has_size = header.width != 0 && header.height != 0;
    if (has_size && header.width > limits.pixels / header.height) return refused(PictureProblem::too_large);
    if (header.problem != PictureProblem::none) return refused(header.problem);

    // The decoder allocates by the size that it reads from the header, so that size is checked, too.
    const auto size = static_cast<int>(bytes.size());
    int width = 0;
    int height = 0;
    int channels = 0;
    if (!has_size || stbi_info_from_memory(bytes.data(), size, &width, &height, &channels) == 0 || width <= 0 ||
        height <= 0)
        return refused(PictureProblem::damaged);
    if (static_cast<std::uint64_t>(width) > limits.pixels / static_cast<std::uint64_t>(height))
        return refused(PictureProblem::too_large);
    const std::unique_ptr<stbi_uc, void (*)(void*)> pixels{
        stbi_load_from_memory(bytes.data(), size, &width, &height, &channels, 3), stbi_image_free};
    if (!pixels) return refused(PictureProblem::damaged);

    DecodedPicture decoded;
    decoded.picture.height = height;
    decoded.picture.width = width;
    decoded.picture.rgb.assign(pixels.get(), pixels.get() + std::size_t{3} * static_cast<std::size_t>(width) *
                                                                static_cast<std::size_t>(height));
    return decoded;
}

/// Reads the bytes of a picture file. Where it cannot be read, is empty or larger than the limit, returns the
/// problem and leaves `bytes` empty.
inline PictureProblem read_picture_file(const std::filesystem::path& path, std::vector<std::uint8_t>& bytes,
                                        const PictureLimits& limits = {}) {
    bytes.clear();
    try {
        InputFile file{path};
        if (file.size() == 0) return PictureProblem::empty;
        if (file.size() > limits.bytes) return PictureProblem::too_large;
        bytes.resize(static_cast<std::size_t>(file.size()));
        file.read(0, bytes.data(), bytes.size());
    } catch (const Error&) {
        bytes.clear();
        return PictureProblem::unreadable;
    }
    return PictureProblem::none;
}

/// Reads and decodes a picture file; see the overload above.
inline DecodedPicture decode_picture(const std::filesystem::path& path, const PictureLimits& limits = {}) {
    std::vector<std::uint8_t> bytes;
    const PictureProblem problem = read_picture_file(path, bytes, limits);
    if (problem != PictureProblem::none) return {{}, problem};
    return decode_picture(std::span<const std::uint8_t>{bytes}, limits);
}

}  // namespace bantam
