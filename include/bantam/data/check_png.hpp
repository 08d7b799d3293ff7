// SPDX-License-Identifier: MIT
// Checks the chunks of a PNG file (ISO/IEC 15948) and their checksums.
#pragma once

#include <bantam/data/picture_bytes.hpp>
#include <bantam/data/picture_problem.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace bantam::detail {

/// The CRC-32 of PNG chunks, eight bytes at a time.
inline std::uint32_t png_checksum(Bytes bytes) {
    using Tables = std::array<std::array<std::uint32_t, 256>, 8>;
    static constexpr Tables tables = [] {
        Tables made{};
        for (std::uint32_t byte = 0; byte < 256; ++byte) {
            std::uint32_t value = byte;
            for (int bit = 0; bit < 8; ++bit) value = (value & 1) != 0 ? 0xedb88320U ^ value >> 1 : value >> 1;
            made[0][byte] = value;
        }
        for (std::size_t table = 1; table < made.size(); ++table)
            for (std::size_t byte = 0; byte < 256; ++byte) {
                const std::uint32_t before = made[table - 1][byte];
                made[table][byte] = before >> 8 ^ made[0][before & 255];
            }
        return made;
    }();
    std::uint32_t checksum = ~std::uint32_t{0};
    for (; bytes.size() >= 8; bytes = bytes.subspan(8)) {
        const std::uint64_t word = little_endian(bytes.first(8), 0, 8) ^ checksum;
        checksum = 0;
        for (std::size_t byte = 0; byte < 8; ++byte) checksum ^= tables[7 - byte][word >> (8 * byte) & 255];
    }
    for (const std::uint8_t byte : bytes) checksum = checksum >> 8 ^ tables[0][(checksum ^ byte) & 255];
    return ~checksum;
}

inline void append_png_chunk(std::vector<std::uint8_t>& target, std::string_view name, Bytes content) {
    append_big_endian(target, content.size(), 4);
    const std::size_t start = target.size();
    target.insert(target.end(), name.begin(), name.end());
    append(target, content);
    append_big_endian(target, png_checksum(Bytes{target}.subspan(start)), 4);
}

inline bool is_png_kind(std::uint8_t depth, std::uint8_t color) {
    const bool byte_or_two = depth == 8 || depth == 16;
    switch (color) {
        case 0:
            return byte_or_two || depth == 1 || depth == 2 || depth == 4;
        case 3:
            return depth == 1 || depth == 2 || depth == 4 || depth == 8;
        case 2:
        case 4:
        case 6:
            return byte_or_two;
        default:
            return false;
    }
}

/// `bytes` start with the signature. In `plain` the palette is filled up with black, so that each index has a color,
/// and chunks that do not change the pixels are left out (transparency is one of them).
inline CheckedPicture check_png(Bytes bytes, const PictureLimits& limits) {
    constexpr std::size_t signature_size = 8;
    constexpr std::size_t chunk_overhead = 12;
    constexpr std::size_t header_size = 13;
    constexpr std::uint8_t indexed = 3;
    constexpr std::size_t colors = 256;

    CheckedPicture result;
    const auto refused = [](PictureProblem problem) { return CheckedPicture{.problem = problem, .plain = {}}; };
    std::vector<std::uint8_t> palette;
    std::vector<std::uint8_t> data;
    std::uint8_t color = 0;
    std::uint64_t row_bits = 0;
    bool ended = false;
    for (std::size_t position = signature_size; !ended && position < bytes.size();) {
        const std::size_t left = bytes.size() - position;
        // What is missing behind the pixels' data does no harm; the decoder notices pixels that are missing.
        if (left < chunk_overhead) break;
        const std::uint64_t length = big_endian(bytes, position, 4);
        const Bytes name = bytes.subspan(position + 4, 4);
        const bool first = position == signature_size;
        if (first && starts_with(name, "IHDR") && left >= 8 + header_size) {
            result.width = big_endian(bytes, position + 8, 4);
            result.height = big_endian(bytes, position + 12, 4);
            if (!limits.allow(result.height, result.width)) return refused(PictureProblem::too_large);
        }
        if (length > left - chunk_overhead) break;
        const Bytes content = bytes.subspan(position + 8, static_cast<std::size_t>(length));
        position += content.size() + chunk_overhead;
        if (png_checksum(bytes.subspan(position - content.size() - 8, content.size() + 4)) !=
            big_endian(bytes, position - 4, 4))
            return refused(PictureProblem::damaged);
        if (first) {
            if (!starts_with(name, "IHDR") || content.size() != header_size) return refused(PictureProblem::damaged);
            const std::uint8_t depth = content[8];
            color = content[9];
            const bool sound = result.width != 0 && result.height != 0 && is_png_kind(depth, color) &&
                               content[10] == 0 && content[11] == 0 && content[12] <= 1;
            if (!sound) return refused(PictureProblem::damaged);
            constexpr std::array<std::uint64_t, 7> channels{1, 0, 3, 1, 2, 0, 4};
            row_bits = result.width * channels[color] * depth;
            append(result.plain, bytes.first(signature_size));
            append_png_chunk(result.plain, "IHDR", content);
        } else if (starts_with(name, "PLTE")) {
            if (content.empty() || content.size() % 3 != 0 || content.size() > 3 * colors)
                return refused(PictureProblem::damaged);
            palette.assign(content.begin(), content.end());
        } else if (starts_with(name, "IDAT")) {
            append(data, content);
        } else if (starts_with(name, "eXIf")) {
            result.orientation = exif_orientation(content);
        } else if (starts_with(name, "IEND")) {
            ended = true;
        }
    }
    // No deflate stream expands by more than this, so memory is in proportion to the file.
    constexpr std::uint64_t most_expansion = 1032;
    const bool enough = row_bits / 8 * result.height <= most_expansion * data.size();
    if (data.empty() || !enough) return refused(ended ? PictureProblem::damaged : PictureProblem::truncated);
    if (color == indexed) {
        if (palette.empty()) return refused(PictureProblem::damaged);
        palette.resize(3 * colors);
        append_png_chunk(result.plain, "PLTE", palette);
    }
    append_png_chunk(result.plain, "IDAT", data);
    append_png_chunk(result.plain, "IEND", {});
    result.is_cut = !ended;
    return result;
}

}  // namespace bantam::detail
