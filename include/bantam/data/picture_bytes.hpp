// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

namespace bantam::detail {

using Bytes = std::span<const std::uint8_t>;

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

inline void append(std::vector<std::uint8_t>& target, Bytes bytes) {
    // g++ 12 reports an overflow in an insertion here, which there is not.
    const std::size_t size = target.size();
    target.resize(size + bytes.size());
    if (!bytes.empty()) std::memcpy(target.data() + size, bytes.data(), bytes.size());
}

inline void append_big_endian(std::vector<std::uint8_t>& target, std::uint64_t value, std::size_t count) {
    while (count-- > 0) target.push_back(static_cast<std::uint8_t>(value >> (8 * count)));
}

inline void append_little_endian(std::vector<std::uint8_t>& target, std::uint64_t value, std::size_t count) {
    for (; count-- > 0; value >>= 8) target.push_back(static_cast<std::uint8_t>(value));
}

/// The orientation in EXIF data (a TIFF header and its first directory), or 1 where they hold none.
inline int exif_orientation(Bytes exif) {
    if (exif.size() < 8) return 1;
    const bool intel = starts_with(exif, "II");
    if (!intel && !starts_with(exif, "MM")) return 1;
    const auto number = [&](std::size_t position, std::size_t count) -> std::size_t {
        return intel ? little_endian(exif, position, count) : big_endian(exif, position, count);
    };
    const std::size_t directory = number(4, 4);
    if (number(2, 2) != 42 || directory > exif.size() - 2) return 1;
    const std::size_t entries = number(directory, 2);
    constexpr std::size_t entry_size = 12;
    constexpr std::size_t orientation_tag = 0x0112;
    constexpr std::size_t short_type = 3;
    for (std::size_t entry = 0; entry < entries; ++entry) {
        const std::size_t position = directory + 2 + entry * entry_size;
        if (position + entry_size > exif.size()) return 1;
        if (number(position, 2) != orientation_tag) continue;
        const std::size_t value = number(position + 8, number(position + 2, 2) == short_type ? 2 : 4);
        return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
    }
    return 1;
}

}  // namespace bantam::detail
