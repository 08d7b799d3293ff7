// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

namespace bantam_test {

/// The header of a file in a tar archive, ustar. With `octal_size` empty the size is that of `size`.
inline std::string tar_header(std::string_view name, std::size_t size, char type = '0', std::string_view prefix = {},
                              std::string octal_size = {}) {
    std::string header(512, '\0');
    const auto put = [&](std::size_t position, std::string_view text) { header.replace(position, text.size(), text); };
    const auto octal = [](std::size_t number, int digits) {
        char text[32];
        std::snprintf(text, sizeof text, "%0*zo", digits, number);
        return std::string{text};
    };
    put(0, name);
    put(100, "0000644");
    put(124, octal_size.empty() ? octal(size, 11) : octal_size);
    put(156, std::string_view{&type, 1});
    put(257, std::string_view{"ustar\00000", 8});
    put(345, prefix);
    put(148, "        ");
    std::size_t sum = 0;
    for (const char byte : header) sum += static_cast<unsigned char>(byte);
    put(148, octal(sum, 6) + std::string{"\0 ", 2});
    return header;
}

/// A file as it lies in an archive: header, contents and zeros up to a whole block.
inline std::string tar_file(std::string_view name, const std::string& contents, char type = '0',
                            std::string_view prefix = {}) {
    return tar_header(name, contents.size(), type, prefix) + contents +
           std::string((512 - contents.size() % 512) % 512, '\0');
}

inline std::string tar_file(std::string_view name, const std::vector<unsigned char>& contents) {
    return tar_file(name, std::string{contents.begin(), contents.end()});
}

/// A record of an extended header of pax.
inline std::string pax_record(const std::string& key, const std::string& value) {
    const std::size_t rest = key.size() + value.size() + 3;
    std::size_t length = rest + 1;
    while (length != rest + std::to_string(length).size()) length = rest + std::to_string(length).size();
    return std::to_string(length) + ' ' + key + '=' + value + '\n';
}

inline const std::string tar_end(1024, '\0');

}  // namespace bantam_test
