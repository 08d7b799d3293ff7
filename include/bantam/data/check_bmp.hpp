// SPDX-License-Identifier: MIT
// Checks a BMP file: its headers, palette and rows.
#pragma once

#include <bantam/data/picture_bytes.hpp>
#include <bantam/data/picture_problem.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace bantam::detail {

/// Whether the bits of a color channel's mask lie side by side and are at most eight.
inline bool is_channel_mask(std::uint32_t mask) {
    if (mask == 0) return false;
    const std::uint32_t shifted = mask >> std::countr_zero(mask);
    return std::has_single_bit(std::uint64_t{shifted} + 1) && std::popcount(mask) <= 8;
}

/// `bytes` start with "BM". In `plain` the palette is filled up with black, so that each index has a color, and the
/// header is the 40-byte one, which keeps the order of the rows.
inline CheckedPicture check_bmp(Bytes bytes, const PictureLimits& limits) {
    constexpr std::size_t file_header = 14;
    constexpr std::size_t old_header = 12;
    constexpr std::size_t plain_header = 40;
    constexpr std::size_t colors = 256;
    enum Compression : std::uint64_t { none = 0, masks = 3, masks_with_alpha = 6 };

    const auto refused = [](PictureProblem problem) { return CheckedPicture{.problem = problem, .plain = {}}; };
    if (bytes.size() < file_header + 4) return refused(PictureProblem::truncated);
    const std::uint64_t start = little_endian(bytes, 10, 4);
    const std::uint64_t header = little_endian(bytes, file_header, 4);
    const bool old = header == old_header;
    const bool known =
        old || header == 40 || header == 52 || header == 56 || header == 64 || header == 108 || header == 124;
    if (!known) return refused(PictureProblem::damaged);
    if (bytes.size() < file_header + header) return refused(PictureProblem::truncated);
    const auto field = [&](std::size_t position, std::size_t count) { return little_endian(bytes, position, count); };
    const auto extent = static_cast<std::int64_t>(static_cast<std::int32_t>(field(old ? 20 : 22, old ? 2 : 4)));
    const bool from_top = extent < 0;

    CheckedPicture result;
    result.width = field(18, old ? 2 : 4);
    result.height = static_cast<std::uint64_t>(from_top ? -extent : extent);
    if (!limits.allow(result.height, result.width)) return refused(PictureProblem::too_large);
    if (result.width == 0 || result.height == 0) return refused(PictureProblem::damaged);
    const std::uint64_t depth = field(old ? 24 : 28, 2);
    const std::uint64_t compression = old ? none : field(30, 4);
    const bool indexed = depth == 1 || depth == 4 || depth == 8;
    const bool has_masks = compression == masks || compression == masks_with_alpha;
    if (!indexed && depth != 16 && depth != 24 && depth != 32) return refused(PictureProblem::unsupported);
    if (compression != none && !(has_masks && (depth == 16 || depth == 32)))
        return refused(PictureProblem::unsupported);

    // Masks follow a 40-byte header; later headers have them at the same place.
    std::array<std::uint32_t, 3> channels{};
    std::uint64_t header_end = file_header + header;
    if (has_masks) {
        constexpr std::size_t masks_at = file_header + plain_header;
        if (header == plain_header) header_end += 4 * channels.size();
        if (bytes.size() < masks_at + 4 * channels.size()) return refused(PictureProblem::truncated);
        for (std::size_t channel = 0; channel < channels.size(); ++channel) {
            channels[channel] = static_cast<std::uint32_t>(field(masks_at + 4 * channel, 4));
            if (!is_channel_mask(channels[channel])) return refused(PictureProblem::unsupported);
        }
    }
    const std::uint64_t row_size = (result.width * depth + 31) / 32 * 4;
    if (start < header_end) return refused(PictureProblem::damaged);
    if (start > bytes.size() || row_size * result.height > bytes.size() - start)
        return refused(PictureProblem::truncated);

    std::vector<std::uint8_t> palette;
    if (indexed) {
        const std::size_t entry = old ? 3 : 4;
        const std::uint64_t stated = old ? 0 : field(46, 4);
        constexpr std::uint64_t most_colors = 65'536;  // of any depth
        if (stated > most_colors) return refused(PictureProblem::damaged);
        std::uint64_t count = std::min<std::uint64_t>((start - header_end) / entry, std::uint64_t{1} << depth);
        if (stated != 0) count = std::min(count, stated);
        if (count == 0) return refused(PictureProblem::damaged);
        palette.resize(4 * colors);
        for (std::size_t color = 0; color < count; ++color)
            for (std::size_t channel = 0; channel < 3; ++channel)
                palette[4 * color + channel] = bytes[header_end + entry * color + channel];
    }

    std::vector<std::uint8_t>& plain = result.plain;
    const std::size_t masks_size = has_masks ? 4 * channels.size() : 0;
    const std::size_t offset = file_header + plain_header + masks_size + palette.size();
    const Bytes rows = bytes.subspan(start, row_size * result.height);
    plain.reserve(offset + rows.size());
    append(plain, bytes.first(2));
    append_little_endian(plain, offset + rows.size(), 4);
    append_little_endian(plain, 0, 4);
    append_little_endian(plain, offset, 4);
    append_little_endian(plain, plain_header, 4);
    append_little_endian(plain, result.width, 4);
    append_little_endian(plain, static_cast<std::uint64_t>(extent), 4);
    append_little_endian(plain, 1, 2);
    append_little_endian(plain, depth, 2);
    append_little_endian(plain, has_masks ? masks : none, 4);
    append_little_endian(plain, rows.size(), 4);
    append_little_endian(plain, 0, 16);
    if (has_masks)
        for (const std::uint32_t mask : channels) append_little_endian(plain, mask, 4);
    append(plain, palette);
    append(plain, rows);
    return result;
}

}  // namespace bantam::detail
