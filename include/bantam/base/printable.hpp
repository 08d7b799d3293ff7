// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace bantam {

/// The bytes of the UTF-8 character that `text` starts with, 0 where there is none (RFC 3629).
constexpr std::size_t utf8_size(std::string_view text) {
    const auto byte = [&](std::size_t index) {
        return index < text.size() ? static_cast<unsigned char>(text[index]) : static_cast<unsigned char>(0);
    };
    const auto follows = [&](std::size_t index) { return (byte(index) & 0xc0) == 0x80; };
    const unsigned char first = byte(0);
    const unsigned char second = byte(1);
    if (text.empty()) return 0;
    if (first < 0x80) return 1;
    if (first >= 0xc2 && first <= 0xdf) return follows(1) ? 2 : 0;
    if (first >= 0xe0 && first <= 0xef) {
        const bool shorter_exists = first == 0xe0 && second < 0xa0;
        const bool surrogate = first == 0xed && second >= 0xa0;
        return follows(1) && follows(2) && !shorter_exists && !surrogate ? 3 : 0;
    }
    if (first >= 0xf0 && first <= 0xf4) {
        const bool shorter_exists = first == 0xf0 && second < 0x90;
        const bool too_large = first == 0xf4 && second >= 0x90;
        return follows(1) && follows(2) && follows(3) && !shorter_exists && !too_large ? 4 : 0;
    }
    return 0;
}

constexpr bool is_utf8(std::string_view text) {
    while (!text.empty()) {
        const std::size_t size = utf8_size(text);
        if (size == 0) return false;
        text.remove_prefix(size);
    }
    return true;
}

/// Text from a file as a terminal shows it: control characters, which a terminal would obey, and bytes that are not
/// UTF-8 as `\x1b`, and no more than about `longest` bytes.
inline std::string printable(std::string_view text, std::size_t longest = 200) {
    std::string shown;
    while (!text.empty()) {
        if (shown.size() >= longest) return shown + "...";
        const std::size_t size = utf8_size(text);
        const auto byte = static_cast<unsigned char>(text[0]);
        const bool control = byte < 0x20 || byte == 0x7f;
        const bool second_control = size == 2 && byte == 0xc2 && static_cast<unsigned char>(text[1]) < 0xa0;
        if (size == 0 || control || second_control) {
            const auto value = static_cast<unsigned char>(second_control ? text[1] : text[0]);
            shown += {'\\', 'x', "0123456789abcdef"[value >> 4], "0123456789abcdef"[value & 15]};
        } else {
            shown += text.substr(0, size);
        }
        text.remove_prefix(size == 0 ? 1 : size);
    }
    return shown;
}

}  // namespace bantam
