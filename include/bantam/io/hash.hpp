// SPDX-License-Identifier: MIT
// Needs xxhash (Debian: libxxhash-dev; header only, nothing to link).
#pragma once

#include <bantam/io/read_file.hpp>

#ifndef XXH_INLINE_ALL
#define XXH_INLINE_ALL
#endif
#include <xxhash.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace bantam {

/// Sixteen lower-case hexadecimal digits, most significant first.
inline std::string hash_text(std::uint64_t hash) {
    std::string text(16, '0');
    for (std::size_t digit = 16; digit-- > 0; hash >>= 4) text[digit] = "0123456789abcdef"[hash & 15];
    return text;
}

/// XXH64 with seed 0 as sixteen hexadecimal digits. It distinguishes contents, but is not cryptographic.
inline std::string hash_bytes(const void* bytes, std::size_t count) { return hash_text(XXH64(bytes, count, 0)); }

/// XXH64 of a file's bytes, read in chunks. Throws Error naming the file.
inline std::string hash_file(const std::filesystem::path& path) {
    InputFile file{path};
    XXH64_state_t state;
    XXH64_reset(&state, 0);
    std::vector<char> chunk(std::size_t{1} << 20);
    for (std::uint64_t position = 0; position < file.size();) {
        const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(chunk.size(), file.size() - position));
        file.read(position, chunk.data(), count);
        XXH64_update(&state, chunk.data(), count);
        position += count;
    }
    return hash_text(XXH64_digest(&state));
}

}  // namespace bantam
