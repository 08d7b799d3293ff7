// SPDX-License-Identifier: MIT
// A library to preload (LD_PRELOAD) that lets one call of a program go wrong. Calls that change files are counted:
// opening for writing, write, pwrite, ftruncate, fsync, flock, close of a written file, rename, remove, mkdir.
//
//   FAULTS_LOG=FILE      lists the calls, one per line
//   FAULTS_AT=N          the call that goes wrong, counted from 1, with
//   FAULTS_ACTION=       kill_before, kill_after (SIGKILL; a write is then half done), power (SIGKILL, and what was not
//                        flushed to the disk is lost) or fail (the call fails)
//   FAULTS_ACTION=memory the N-th allocation fails
//   FAULTS_SEED=N        chooses how a call fails and how much of the unflushed data is lost
//   FAULTS_BACKUPS=DIR   for power: an empty folder on the same file system
//   FAULTS_NO_SYNC=1     fsync does nothing, to see that a power failure then does harm
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <string>
#include <vector>

extern "C" void* __libc_malloc(std::size_t size);

namespace {

template <class Function>
Function* next(const char* name) {
    return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

enum class Action { none, kill_before, kill_after, power, fail };

struct WrittenFile {
    std::string path;
    off_t flushed = 0;
};

/// A rename that the folder's fsync has not made permanent.
struct Rename {
    std::string from, to, backup;  // backup: a link to the file that was replaced; empty where there was none
};

std::atomic<long> failing_allocation{-1}, allocations{0};

struct Faults {
    std::mutex mutex;
    long count = 0, at = -1;
    Action action = Action::none;
    unsigned long seed = 1;
    const char* log = std::getenv("FAULTS_LOG");
    std::string backups;
    bool no_sync = std::getenv("FAULTS_NO_SYNC") != nullptr;
    std::map<int, WrittenFile> written;
    std::vector<Rename> renames;

    Faults() {
        const auto text = [](const char* name) { return std::string{std::getenv(name) ? std::getenv(name) : ""}; };
        const std::string wanted = text("FAULTS_ACTION");
        seed = std::strtoul(text("FAULTS_SEED").c_str(), nullptr, 10);
        at = std::atol(text("FAULTS_AT").c_str());
        backups = text("FAULTS_BACKUPS");
        if (wanted == "kill_before") action = Action::kill_before;
        if (wanted == "kill_after") action = Action::kill_after;
        if (wanted == "power") action = Action::power;
        if (wanted == "fail") action = Action::fail;
        if (wanted == "memory") failing_allocation = at;
    }

    unsigned long random() { return (seed = seed * 6364136223846793005UL + 1442695040888963407UL) >> 33; }

    [[noreturn]] static void die() {
        kill(getpid(), SIGKILL);
        for (;;) pause();
    }

    /// Loses the renames and the data that were not flushed, or a part of them.
    [[noreturn]] void lose_power() {
        const auto real_rename = next<int(const char*, const char*)>("rename");
        for (std::size_t lost = renames.size() - random() % (renames.size() + 1); lost-- > 0;) {
            const Rename last = renames.back();
            renames.pop_back();
            real_rename(last.to.c_str(), last.from.c_str());
            if (!last.backup.empty()) real_rename(last.backup.c_str(), last.to.c_str());
        }
        for (const auto& [descriptor, file] : written) {
            struct stat status{};
            if (fstat(descriptor, &status) != 0 || status.st_size <= file.flushed) continue;
            const off_t kept = file.flushed + static_cast<off_t>(random()) % (status.st_size - file.flushed + 1);
            next<int(int, off_t)>("ftruncate")(descriptor, kept);
            // The length may have reached the disk and the data not.
            if (random() % 2 == 0) next<int(int, off_t)>("ftruncate")(descriptor, status.st_size);
        }
        die();
    }

    /// Counts a call. True where it is to fail; errno is then set.
    bool enter(const char* name, const char* detail = "") {
        ++count;
        if (log != nullptr) {
            if (std::FILE* file = std::fopen(log, "a")) {
                std::fprintf(file, "%ld %s %s\n", count, name, detail);
                std::fclose(file);
            }
        }
        if (count != at) return false;
        if (action == Action::kill_before) die();
        if (action == Action::power) lose_power();
        if (action != Action::fail) return false;
        constexpr int causes[] = {ENOSPC, EIO, EACCES, EDQUOT};
        errno = causes[random() % 4];
        return true;
    }

    bool dies_now() const { return count == at && action == Action::kill_after; }
    void leave() const {
        if (dies_now()) die();
    }
};

Faults& faults() {
    static Faults* const instance = new Faults;  // never destroyed: other destructors close files
    return *instance;
}

/// Created while the library is loaded, before the program's threads.
[[maybe_unused]] const bool ready = (faults(), true);

template <class Open>
int open_file(Open* real, const char* path, int flags, mode_t mode) {
    if ((flags & (O_WRONLY | O_RDWR | O_CREAT)) == 0) return real(path, flags, mode);
    const std::scoped_lock lock{faults().mutex};
    if (faults().enter("open", path)) return -1;
    const int file = real(path, flags, mode);
    if (file >= 0) faults().written[file] = {path, 0};
    faults().leave();
    return file;
}

mode_t mode_of(int flags, va_list arguments) {
    return (flags & O_CREAT) != 0 ? static_cast<mode_t>(va_arg(arguments, int)) : 0;
}

template <class Call>
auto on_written(int file, const char* name, const Call& call) -> decltype(call()) {
    {
        const std::scoped_lock lock{faults().mutex};
        if (faults().written.contains(file)) {
            if (faults().enter(name)) return -1;
            const auto result = call();
            faults().leave();
            return result;
        }
    }
    return call();
}

}  // namespace

extern "C" {

void* malloc(std::size_t size) {
    if (failing_allocation > 0 && ++allocations == failing_allocation) {
        errno = ENOMEM;
        return nullptr;
    }
    return __libc_malloc(size);
}

int open(const char* path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    const mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    return open_file(next<int(const char*, int, ...)>("open"), path, flags, mode);
}

int open64(const char* path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    const mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    return open_file(next<int(const char*, int, ...)>("open64"), path, flags, mode);
}

ssize_t write(int file, const void* bytes, std::size_t count) {
    const auto real = next<ssize_t(int, const void*, std::size_t)>("write");
    return on_written(file, "write", [&] { return real(file, bytes, faults().dies_now() ? count / 2 : count); });
}

ssize_t pwrite(int file, const void* bytes, std::size_t count, off_t position) {
    const auto real = next<ssize_t(int, const void*, std::size_t, off_t)>("pwrite");
    return on_written(file, "pwrite", [&] { return real(file, bytes, count, position); });
}

int ftruncate(int file, off_t length) noexcept {
    return on_written(file, "ftruncate", [&] { return next<int(int, off_t)>("ftruncate")(file, length); });
}

int flock(int file, int operation) noexcept {
    return on_written(file, "flock", [&] { return next<int(int, int)>("flock")(file, operation); });
}

int close(int file) {
    const auto real = next<int(int)>("close");
    return on_written(file, "close", [&] {
        // Data that was not flushed can be lost after the file was closed, too.
        const WrittenFile closed = faults().written[file];
        struct stat status{};
        const bool unflushed = fstat(file, &status) == 0 && status.st_size > closed.flushed;
        const std::string link = "/proc/self/fd/" + std::to_string(file);
        const int kept = unflushed ? next<int(const char*, int, ...)>("open")(link.c_str(), O_WRONLY | O_CLOEXEC) : -1;
        faults().written.erase(file);
        if (kept >= 0) faults().written[kept] = closed;
        return real(file);
    });
}

int fsync(int file) {
    const std::scoped_lock lock{faults().mutex};
    if (faults().enter("fsync")) return -1;
    if (faults().no_sync) return 0;
    const int result = next<int(int)>("fsync")(file);
    struct stat status{};
    if (fstat(file, &status) == 0 && S_ISDIR(status.st_mode)) {
        for (const Rename& done : faults().renames)
            if (!done.backup.empty()) next<int(const char*)>("unlink")(done.backup.c_str());
        faults().renames.clear();
    } else if (const auto found = faults().written.find(file); found != faults().written.end()) {
        found->second.flushed = status.st_size;
    }
    faults().leave();
    return result;
}

int rename(const char* from, const char* to) noexcept {
    const std::scoped_lock lock{faults().mutex};
    if (faults().enter("rename", to)) return -1;
    Rename done{from, to, {}};
    if (faults().action == Action::power && !faults().backups.empty()) {
        done.backup = faults().backups + '/' + std::to_string(faults().count);
        if (link(to, done.backup.c_str()) != 0) done.backup.clear();
    }
    const int result = next<int(const char*, const char*)>("rename")(from, to);
    if (result == 0) faults().renames.push_back(done);
    faults().leave();
    return result;
}

int remove(const char* path) noexcept {
    const std::scoped_lock lock{faults().mutex};
    if (faults().enter("remove", path)) return -1;
    const int result = next<int(const char*)>("remove")(path);
    faults().leave();
    return result;
}

int mkdir(const char* path, mode_t mode) noexcept {
    const std::scoped_lock lock{faults().mutex};
    if (faults().enter("mkdir", path)) return -1;
    const int result = next<int(const char*, mode_t)>("mkdir")(path, mode);
    faults().leave();
    return result;
}

}  // extern "C"
