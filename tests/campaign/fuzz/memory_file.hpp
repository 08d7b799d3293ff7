// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>

#include <sys/mman.h>
#include <unistd.h>

namespace fuzz {

/// A file in memory that readers open by its path.
class MemoryFile {
public:
    MemoryFile() : descriptor_{::memfd_create("input", 0)} {
        if (descriptor_ < 0) std::abort();
    }

    /// Replaces the contents; returns the path.
    std::filesystem::path put(const std::uint8_t* data, std::size_t size) const {
        if (::ftruncate(descriptor_, 0) != 0) std::abort();
        for (std::size_t done = 0; done < size;) {
            const auto count = ::pwrite(descriptor_, data + done, size - done, static_cast<off_t>(done));
            if (count <= 0) std::abort();
            done += static_cast<std::size_t>(count);
        }
        return "/proc/self/fd/" + std::to_string(descriptor_);
    }

private:
    int descriptor_;
};

/// Ends the program as a finding unless `holds`.
inline void require(bool holds) {
    if (!holds) std::abort();
}

}  // namespace fuzz
