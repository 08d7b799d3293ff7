// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/error.hpp>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <string>
#include <system_error>
#include <utility>

#if !defined(_WIN32)
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#endif

namespace bantam {

/// A file that this process alone has locked while this object lives. It names the process. The system releases the
/// lock when the process ends, however it ends. Where another process holds it, `on_busy` is called with that one's
/// name and may throw; then the lock is waited for. Throws Error where the file cannot be opened. There is no lock on
/// Windows and on file systems without locks.
class LockFile {
public:
    LockFile(std::filesystem::path path, [[maybe_unused]] const std::function<void(const std::string& owner)>& on_busy)
        : path_{std::move(path)} {
#if !defined(_WIN32)
        try {
            // A lock on a file that was removed after it was opened has no effect; the new file is locked instead.
            while (!take(on_busy)) close(std::exchange(file_, -1));
        } catch (...) {
            if (file_ >= 0) close(std::exchange(file_, -1));
            throw;
        }
        write_owner();
#endif
    }

    LockFile(LockFile&& other) noexcept : path_{std::move(other.path_)}, file_{std::exchange(other.file_, -1)} {}
    LockFile& operator=(LockFile&& other) noexcept {
        std::swap(path_, other.path_);
        std::swap(file_, other.file_);
        return *this;
    }

    ~LockFile() {
#if !defined(_WIN32)
        if (file_ < 0) return;
        std::error_code ignored;
        std::filesystem::remove(path_, ignored);
        close(file_);
#endif
    }

private:
#if !defined(_WIN32)
    bool take(const std::function<void(const std::string& owner)>& on_busy) {
        file_ = open(path_.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0666);
        struct stat opened{}, named{};
        if (file_ < 0 || fstat(file_, &opened) != 0) fail(errno);
        if (!S_ISREG(opened.st_mode)) fail(EINVAL);
        if (flock(file_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
            on_busy(read_owner());
            while (flock(file_, LOCK_EX) != 0 && errno == EINTR) {
            }
        }
        return lstat(path_.c_str(), &named) == 0 && named.st_ino == opened.st_ino && named.st_dev == opened.st_dev;
    }

    [[noreturn]] void fail(int cause) const {
        const bool no_access = cause == ENOENT || cause == ENOTDIR || cause == EACCES || cause == EROFS;
        throw Error{path_.string() + ": cannot be opened for locking: " + std::generic_category().message(cause) +
                    (no_access ? "; check that its folder exists and that you may write to it"
                               : "; remove it, or choose another name")};
    }

    // The owner's name is for messages alone, so that failures are ignored.
    void write_owner() const {
        char host[256] = "";
        if (gethostname(host, sizeof host - 1) != 0) host[0] = '\0';
        const std::string owner = "process " + std::to_string(getpid()) + " on " + host + '\n';
        if (ftruncate(file_, 0) != 0 || pwrite(file_, owner.data(), owner.size(), 0) < 0) return;
    }

    std::string read_owner() const {
        char text[400];
        const auto length = pread(file_, text, sizeof text, 0);
        std::string owner{text, length > 0 ? static_cast<std::size_t>(length) : 0};
        owner.resize(std::min(owner.find('\n'), owner.size()));
        return owner.empty() ? "another process" : owner;
    }
#endif

    std::filesystem::path path_;
    int file_ = -1;
};

}  // namespace bantam
