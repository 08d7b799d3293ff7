// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/error.hpp>
#include <bantam/base/random.hpp>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#if defined(_WIN32)
#include <io.h>
#include <process.h>
#else
#include <sys/file.h>
#include <unistd.h>
#endif

namespace bantam {

/// A file that appears under its name complete or not at all: it is written beside its target under a name of its
/// own, `<name>.<16 digits>.partial`, flushed to the disk and renamed by `commit()`, and its folder is flushed, too.
/// Without `commit()` (an exception in between, for instance) the partial file is removed and an older file of that
/// name survives. Several processes may write one file: each version is whole, and the last one stays. Partial files
/// of processes that were killed are removed when the same file is written again. Every failure throws Error naming
/// the file, the cause and the next step.
class AtomicFile {
public:
    explicit AtomicFile(std::filesystem::path path) : path_{std::move(path)} {
        std::error_code ignored;
        const auto status = std::filesystem::status(path_, ignored);
        if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status))
            throw Error{path_.string() +
                        ": cannot be written: it exists and is not a regular file; "
                        "choose another name"};
        while (!create()) {
        }
        remove_leftovers();
    }

    AtomicFile(const AtomicFile&) = delete;
    AtomicFile& operator=(const AtomicFile&) = delete;

    ~AtomicFile() { discard(); }

    void write(const void* bytes, std::size_t count) {
        const auto* const data = static_cast<const char*>(bytes);
        if (buffer_.size() + count > buffer_capacity) flush_buffer();
        if (count > buffer_capacity)
            write_through(data, count);
        else
            buffer_.append(data, count);
    }

    void write(std::string_view text) { write(text.data(), text.size()); }

    /// Replaces bytes that were written before, from byte `position` on, as for a header that is known last.
    void overwrite(std::uint64_t position, std::string_view bytes) {
        flush_buffer();
        seek(static_cast<std::int64_t>(position), SEEK_SET);
        write_through(bytes.data(), bytes.size());
        seek(0, SEEK_END);
    }

    /// Makes the file visible under its name; call it last.
    void commit() {
        flush_buffer();
        // Some file systems and devices cannot synchronize (EINVAL); a full disk is reported by all.
        if (synchronize(file_) != 0 && errno != EINVAL && errno != ENOTSUP) fail_writing();
#if defined(_WIN32)
        close(std::exchange(file_, -1));  // an open file cannot be renamed there
#endif
        std::error_code cause;
        std::filesystem::rename(partial_, path_, cause);
        if (cause) {
            discard();
            fail("could not be put in place", cause.value(), "check the folder's permissions");
        }
#if !defined(_WIN32)
        // Closed after it has its name: until then its lock tells other processes not to remove it.
        close(std::exchange(file_, -1));
        synchronize_folder();
#endif
    }

private:
    static constexpr std::size_t buffer_capacity = 65'536;
    static constexpr const char* writing_advice = "free some disk space or choose another folder";
    static constexpr std::size_t digit_count = 16;
    static constexpr const char* suffix = ".partial";

    /// A new file that no other process has or removes. False where another one was faster.
    bool create() {
        partial_ = path_;
        partial_ += '.' + unique_digits() + suffix;
#if defined(_WIN32)
        file_ = _wopen(partial_.c_str(), _O_WRONLY | _O_CREAT | _O_EXCL | _O_BINARY, _S_IREAD | _S_IWRITE);
#else
        file_ = open(partial_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
#endif
        if (file_ < 0) {
            if (errno == EEXIST) return false;
            fail("cannot be created", errno, "check that the folder exists and that you may write to it");
        }
#if !defined(_WIN32)
        // Before it was locked, another process may have taken it for a leftover.
        struct stat status{};
        const bool busy = flock(file_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
        if (busy || (fstat(file_, &status) == 0 && status.st_nlink == 0)) {
            close(std::exchange(file_, -1));
            return false;
        }
#endif
        return true;
    }

    static std::string unique_digits() {
        static std::atomic<std::uint64_t> files{0};
        const auto now = std::chrono::system_clock::now().time_since_epoch().count();
        std::uint64_t number =
            random_bits(static_cast<std::uint64_t>(now), static_cast<std::uint64_t>(getpid()), files++);
        std::string digits(digit_count, '0');
        for (char& digit : digits) {
            digit = "0123456789abcdef"[number & 15];
            number >>= 4;
        }
        return digits;
    }

    /// Removes the partial files of this name that no process has locked.
    void remove_leftovers() const noexcept {
#if !defined(_WIN32)
        try {
            const std::string start = path_.filename().string() + '.';
            std::error_code ignored;
            const std::filesystem::directory_iterator entries{folder(), ignored};
            if (ignored) return;
            for (const auto& entry : entries) {
                const std::string name = entry.path().filename().string();
                if (!name.starts_with(start) || !name.ends_with(suffix) ||
                    name.size() != start.size() + digit_count + std::string_view{suffix}.size() ||
                    name.find_first_not_of("0123456789abcdef", start.size()) != start.size() + digit_count)
                    continue;
                const int leftover = open(entry.path().c_str(), O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
                if (leftover < 0) continue;
                struct stat status{};
                if (fstat(leftover, &status) == 0 && S_ISREG(status.st_mode) && flock(leftover, LOCK_EX | LOCK_NB) == 0)
                    std::filesystem::remove(entry.path(), ignored);
                close(leftover);
            }
        } catch (const std::exception&) {
            // Leftovers take up space, nothing more.
        }
#endif
    }

    std::filesystem::path folder() const { return path_.has_parent_path() ? path_.parent_path() : "."; }

    static int synchronize(int file) {
#if defined(_WIN32)
        return _commit(file);
#else
        return fsync(file);
#endif
    }

#if !defined(_WIN32)
    /// Without this a power failure may undo the renaming.
    void synchronize_folder() const {
        const int descriptor = open(folder().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (descriptor < 0) return;  // a folder may be writable and not readable
        const int result = synchronize(descriptor);
        const int cause = errno;
        close(descriptor);
        if (result != 0 && cause != EINVAL && cause != ENOTSUP)
            fail("is in place, but its folder could not be flushed to the disk", cause, "check the disk");
    }
#endif

    void flush_buffer() {
        write_through(buffer_.data(), buffer_.size());
        buffer_.clear();
    }

    void seek(std::int64_t position, int from) {
#if defined(_WIN32)
        const bool done = _lseeki64(file_, position, from) >= 0;
#else
        const off_t offset = position;
        const bool done = lseek(file_, offset, from) >= 0;
#endif
        if (!done) fail_writing();
    }

    void write_through(const char* data, std::size_t count) {
        constexpr std::size_t most_at_once = std::size_t{1} << 30;  // systems write at most about 2 GiB in one call
        while (count > 0) {
#if defined(_WIN32)
            const auto written =
                _write(file_, data, static_cast<unsigned>(count < most_at_once ? count : most_at_once));
#else
            const auto written = ::write(file_, data, count < most_at_once ? count : most_at_once);
#endif
            if (written < 0 && errno == EINTR) continue;
            if (written <= 0) fail_writing();
            data += written;
            count -= static_cast<std::size_t>(written);
        }
    }

    [[noreturn]] void fail(const char* what, int cause, const char* advice) const {
        throw Error{path_.string() + ": " + what + ": " + std::generic_category().message(cause) + "; " + advice};
    }

    [[noreturn]] void fail_writing() {
        const int cause = errno;
        discard();
        fail("could not be written completely", cause, writing_advice);
    }

    void discard() noexcept {
        if (file_ < 0) return;
        std::error_code ignored;
#if defined(_WIN32)
        close(std::exchange(file_, -1));
        std::filesystem::remove(partial_, ignored);
#else
        std::filesystem::remove(partial_, ignored);
        close(std::exchange(file_, -1));
#endif
    }

    std::filesystem::path path_;
    std::filesystem::path partial_;
    int file_ = -1;
    std::string buffer_;
};

/// Writes `contents` as the whole file `path` in one step; see AtomicFile.
inline void write_file(const std::filesystem::path& path, std::string_view contents) {
    AtomicFile file{path};
    file.write(contents);
    file.commit();
}

}  // namespace bantam
