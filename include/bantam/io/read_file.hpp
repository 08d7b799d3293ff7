// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/error.hpp>
#include <bantam/base/printable.hpp>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace bantam {

/// What `path` is; a link that leads nowhere is not found. Throws Error where the system fails.
inline std::filesystem::file_status file_status(const std::filesystem::path& path) {
    std::error_code cause;
    const std::filesystem::file_status status = std::filesystem::status(path, cause);
    if (std::filesystem::status_known(status)) return status;
    if (cause == std::errc::too_many_symbolic_link_levels)
        return std::filesystem::file_status{std::filesystem::file_type::not_found};
    throw Error{printable(path.string(), 4096) + ": cannot be read: " + cause.message() + "; check its permissions"};
}

/// A regular file opened for reading at any position. Every failure throws Error naming the file.
class InputFile {
public:
    explicit InputFile(std::filesystem::path path) : path_{std::move(path)} {
        const auto status = file_status(path_);
        if (!std::filesystem::exists(status)) throw Error{path_.string() + ": no such file; check the path"};
        // Opening a pipe would block forever, and a folder opens but cannot be read.
        if (!std::filesystem::is_regular_file(status))
            throw Error{path_.string() + ": is not a regular file; name a file"};
        std::error_code cause;
        size_ = std::filesystem::file_size(path_, cause);
        if (cause) fail(cause.value());
        file_ = std::fopen(path_.string().c_str(), "rb");
        if (file_ == nullptr) fail(errno);
    }

    InputFile(InputFile&& other) noexcept
        : path_{std::move(other.path_)}, size_{other.size_}, file_{std::exchange(other.file_, nullptr)} {}

    InputFile& operator=(InputFile&& other) noexcept {
        std::swap(path_, other.path_);
        std::swap(size_, other.size_);
        std::swap(file_, other.file_);
        return *this;
    }

    ~InputFile() {
        if (file_ != nullptr) std::fclose(file_);
    }

    const std::filesystem::path& path() const { return path_; }

    /// Size in bytes when the file was opened.
    std::uint64_t size() const { return size_; }

    /// Reads `count` bytes from byte `position` on; fewer are an error.
    void read(std::uint64_t position, void* bytes, std::size_t count) {
        if (count == 0) return;
        if (std::fseek(file_, static_cast<long>(position), SEEK_SET) != 0) fail(errno);
        errno = 0;
        if (std::fread(bytes, 1, count, file_) != count) {
            if (errno != 0) fail(errno);
            throw Error{path_.string() + ": ended while being read; is another program writing it?"};
        }
    }

private:
    [[noreturn]] void fail(int cause) const {
        throw Error{path_.string() + ": cannot be read: " + std::generic_category().message(cause) +
                    "; check its permissions"};
    }

    std::filesystem::path path_;
    std::uint64_t size_ = 0;
    std::FILE* file_ = nullptr;
};

/// The whole file in memory. Throws Error naming the file.
inline std::vector<std::uint8_t> read_file(const std::filesystem::path& path) {
    InputFile file{path};
    std::vector<std::uint8_t> bytes(file.size());
    file.read(0, bytes.data(), bytes.size());
    return bytes;
}

}  // namespace bantam
