// SPDX-License-Identifier: MIT
// Reads any bytes as a tar archive or, where the first one is odd, as a cache of pictures whose header has the right
// hash: what is accepted lies within the file and has distinct names, and what is refused is refused in one line.
#include "memory_file.hpp"

#include <bantam/data/picture_cache.hpp>
#include <bantam/io/tar_index.hpp>

#include <cstring>
#include <set>
#include <string>
#include <string_view>
#include <vector>

using namespace bantam;

namespace {

void read_archive(const std::filesystem::path& path, std::size_t size) {
    InputFile file{path};
    std::set<std::string> names;
    for (const auto& [name, position, bytes] : read_tar_index(file)) {
        fuzz::require(position <= size && bytes <= size - position);
        fuzz::require(!name.empty() && !name.starts_with('/') && name.find("..") != 0 && names.insert(name).second);
    }
}

void read_cache(const std::filesystem::path& path) {
    const PictureCache cache{path};
    unsigned sum = 0;
    for (std::size_t index = 0; index < cache.size(); ++index) {
        fuzz::require(cache.find(cache.entry(index).path) == &cache.entry(index));
        for (const std::uint8_t color : cache.picture(index)) sum += color;
    }
    fuzz::require(sum <= 255 * cache.size() * cache.picture_bytes());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const fuzz::MemoryFile memory;
    if (size == 0) return 0;
    std::vector<std::uint8_t> bytes{data + 1, data + size};
    constexpr std::size_t header = PictureCache::fixed_header;
    try {
        if (data[0] % 2 == 0) {
            read_archive(memory.put(bytes.data(), bytes.size()), bytes.size());
            return 0;
        }
        if (bytes.size() >= header) {
            std::uint64_t length = 0;
            std::memcpy(&length, bytes.data() + 32, sizeof length);
            if (length >= header && length <= bytes.size()) {
                Hasher hasher;
                hasher.update(bytes.data(), header - 8);
                hasher.update(bytes.data() + header, static_cast<std::size_t>(length) - header);
                const std::uint64_t hash = hasher.value();
                std::memcpy(bytes.data() + header - 8, &hash, sizeof hash);
            }
        }
        read_cache(memory.put(bytes.data(), bytes.size()));
    } catch (const Error& problem) {
        fuzz::require(std::string_view{problem.what()}.find('\n') == std::string_view::npos);
    }
    return 0;
}
