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
#include <string_view>
#include <vector>

namespace bantam {

/// Sixteen lower-case hexadecimal digits, most significant first.
inline std::string hash_text(std::uint64_t hash) {
    std::string text(16, '0');
    for (std::size_t digit = 16; digit-- > 0; hash >>= 4) text[digit] = "0123456789abcdef"[hash & 15];
    return text;
}

/// XXH64 with seed 0 of bytes that arrive in parts. It distinguishes contents, but is not cryptographic.
class Hasher {
public:
    Hasher() { XXH64_reset(&state_, 0); }

    void update(const void* bytes, std::size_t count) { XXH64_update(&state_, bytes, count); }

    void update(std::string_view text) { update(text.data(), text.size()); }

    /// The bytes of `file` from `position` to its end, read in chunks. Throws Error naming the file.
    void update(InputFile& file, std::uint64_t position) {
        constexpr std::uint64_t longest_chunk = std::uint64_t{1} << 20;
        std::vector<char> chunk;
        while (position < file.size()) {
            const auto count = static_cast<std::size_t>(std::min(longest_chunk, file.size() - position));
            chunk.resize(count);
            file.read(position, chunk.data(), count);
            update(chunk.data(), count);
            position += count;
        }
    }

    /// The hash of all bytes so far.
    std::uint64_t value() const { return XXH64_digest(&state_); }

    /// The same as sixteen hexadecimal digits.
    std::string text() const { return hash_text(value()); }

private:
    XXH64_state_t state_;
};

/// XXH64 of bytes in memory; see Hasher.
inline std::string hash_bytes(const void* bytes, std::size_t count) {
    Hasher hasher;
    hasher.update(bytes, count);
    return hasher.text();
}

/// XXH64 of a file's bytes; see Hasher. Throws Error naming the file.
inline std::string hash_file(const std::filesystem::path& path) {
    InputFile file{path};
    Hasher hasher;
    hasher.update(file, 0);
    return hasher.text();
}

}  // namespace bantam
