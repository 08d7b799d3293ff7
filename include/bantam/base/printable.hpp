// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace bantam {

/// Text from a file as an error message shows it: control characters, which a terminal would obey, as `\x1b`, and
/// no more than about 200 bytes.
inline std::string printable(std::string_view text) {
    constexpr std::size_t longest = 200;
    std::string shown;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const auto byte = static_cast<unsigned char>(text[i]);
        // UTF-8 cuts between characters, not within one.
        if (shown.size() >= longest && (byte & 0xc0) != 0x80) return shown + "...";
        const bool second_control =  // U+0080 to U+009F
            byte == 0xc2 && i + 1 < text.size() && (static_cast<unsigned char>(text[i + 1]) & 0xe0) == 0x80;
        const auto escape = [&](unsigned char value) {
            shown += {'\\', 'x', "0123456789abcdef"[value >> 4], "0123456789abcdef"[value & 15]};
        };
        if (second_control)
            escape(static_cast<unsigned char>(text[++i]));
        else if (byte < 0x20 || byte == 0x7f)
            escape(byte);
        else
            shown += text[i];
    }
    return shown;
}

}  // namespace bantam
