// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/io/read_file.hpp>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <system_error>
#include <utility>
#include <vector>

#if !defined(_WIN32)
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#endif

namespace bantam {

/// A file as bytes in memory, for reading. The system loads only the parts that are read, keeps them in its page cache,
/// which all processes share, and drops them again where memory is needed. A file that is replaced by another one of
/// its name stays as it was. Throws Error naming the file. On Windows the whole file is read.
class MappedFile {
public:
    explicit MappedFile(const std::filesystem::path& path) : path_{path} {
#if defined(_WIN32)
        contents_ = read_file(path);
        bytes_ = contents_;
#else
        const InputFile checked{path};
        const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
        struct stat status{};
        if (file < 0 || fstat(file, &status) != 0) fail(file);
        // An empty file cannot be mapped.
        if (const auto size = static_cast<std::size_t>(status.st_size); size > 0) {
            void* const mapped = mmap(nullptr, size, PROT_READ, MAP_SHARED, file, 0);
            if (mapped == MAP_FAILED) fail(file);
            bytes_ = {static_cast<const std::uint8_t*>(mapped), size};
        }
        close(file);
#endif
    }

    MappedFile(const MappedFile&) = delete;
    MappedFile& operator=(const MappedFile&) = delete;

    ~MappedFile() {
#if !defined(_WIN32)
        if (!bytes_.empty()) munmap(const_cast<std::uint8_t*>(bytes_.data()), bytes_.size());
#endif
    }

    const std::filesystem::path& path() const { return path_; }
    std::span<const std::uint8_t> bytes() const { return bytes_; }

private:
#if defined(_WIN32)
    std::vector<std::uint8_t> contents_;
#else
    [[noreturn]] void fail(int file) const {
        const int cause = errno;
        if (file >= 0) close(file);
        throw Error{path_.string() + ": cannot be read: " + std::generic_category().message(cause) +
                    "; check its permissions"};
    }
#endif

    std::filesystem::path path_;
    std::span<const std::uint8_t> bytes_;
};

namespace detail {

/// Advises the system on the use of a MappedFile's pages that hold `bytes`, by madvise. The system may ignore it.
inline void advise_pages([[maybe_unused]] std::span<const std::uint8_t> bytes, [[maybe_unused]] int advice) {
#if !defined(_WIN32)
    static const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
    const auto begin = reinterpret_cast<std::uintptr_t>(bytes.data());
    const std::uintptr_t first = begin / page * page;
    madvise(reinterpret_cast<void*>(first), begin + bytes.size() - first, advice);
#endif
}

}  // namespace detail

/// Has the system load a part of a MappedFile in the background.
inline void read_ahead(std::span<const std::uint8_t> bytes) {
#if !defined(_WIN32)
    detail::advise_pages(bytes, MADV_WILLNEED);
#endif
}

/// Takes a part of a MappedFile, and of nothing else, out of this process's memory. It stays in the page cache as long
/// as there is space, and can be read again.
inline void release_pages(std::span<const std::uint8_t> bytes) {
#if !defined(_WIN32)
    detail::advise_pages(bytes, MADV_DONTNEED);
#endif
}

}  // namespace bantam
