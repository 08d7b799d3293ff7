// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/error.hpp>

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#if defined(__unix__) || defined(__APPLE__)
#include <unistd.h>
#endif

namespace bantam {

/// A file that appears under its name complete or not at all: it is written beside its target as
/// `<name>.partial`, flushed to the disk and renamed by `commit()`. Without `commit()` (an exception
/// in between, for instance) the partial file is removed and an older file of that name survives.
/// Every failure throws Error naming the file, the cause and the next step.
class AtomicFile {
public:
    explicit AtomicFile(std::filesystem::path path) : path_{std::move(path)}, partial_{path_} {
        partial_ += ".partial";
        std::error_code ignored;
        const auto status = std::filesystem::status(path_, ignored);
        if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status))
            throw Error{path_.string() +
                        ": cannot be written: it exists and is not a regular file; "
                        "choose another name"};
        file_ = std::fopen(partial_.c_str(), "wb");
        if (file_ == nullptr)
            fail("cannot be created", errno, "check that the folder exists and that you may write to it");
    }

    AtomicFile(const AtomicFile&) = delete;
    AtomicFile& operator=(const AtomicFile&) = delete;

    ~AtomicFile() { discard(); }

    void write(const void* bytes, std::size_t count) {
        if (count != 0 && std::fwrite(bytes, 1, count, file_) != count) fail_writing();
    }

    void write(std::string_view text) { write(text.data(), text.size()); }

    /// Makes the file visible under its name; call it last.
    void commit() {
        if (std::fflush(file_) != 0) fail_writing();
#if defined(__unix__) || defined(__APPLE__)
        // Some file systems and devices cannot synchronize (EINVAL); a full disk is reported by all.
        if (::fsync(::fileno(file_)) != 0 && errno != EINVAL && errno != ENOTSUP) fail_writing();
#endif
        std::FILE* const file = std::exchange(file_, nullptr);
        if (std::fclose(file) != 0) {
            const int cause = errno;
            remove_partial();
            fail("could not be written completely", cause, writing_advice);
        }
        std::error_code cause;
        std::filesystem::rename(partial_, path_, cause);
        if (cause) {
            remove_partial();
            fail("could not be put in place", cause.value(), "check the folder's permissions");
        }
    }

private:
    static constexpr const char* writing_advice = "free some disk space or choose another folder";

    [[noreturn]] void fail(const char* what, int cause, const char* advice) const {
        throw Error{path_.string() + ": " + what + ": " + std::generic_category().message(cause) + "; " + advice};
    }

    [[noreturn]] void fail_writing() {
        const int cause = errno;
        discard();
        fail("could not be written completely", cause, writing_advice);
    }

    void discard() noexcept {
        if (file_ == nullptr) return;
        std::fclose(std::exchange(file_, nullptr));
        remove_partial();
    }

    void remove_partial() const noexcept {
        std::error_code ignored;
        std::filesystem::remove(partial_, ignored);
    }

    std::filesystem::path path_;
    std::filesystem::path partial_;
    std::FILE* file_ = nullptr;
};

/// Writes `contents` as the whole file `path` in one step; see AtomicFile.
inline void write_file(const std::filesystem::path& path, std::string_view contents) {
    AtomicFile file{path};
    file.write(contents);
    file.commit();
}

}  // namespace bantam
