// SPDX-License-Identifier: MIT
// A library to preload (LD_PRELOAD) that lets one call of a program go wrong. Calls that change files are counted:
// opening for writing, write, pwrite, ftruncate, fsync, flock, close of a written file, rename, remove, unlink, mkdir.
//
//   FAULTS_LOG=FILE      lists the calls, one per line
//   FAULTS_AT=N          the call that goes wrong, counted from 1, with
//   FAULTS_ACTION=       kill_before, kill_after (SIGKILL; a write is then half done), power (SIGKILL, and what was not
//                        flushed to the disk is lost) or fail (the call fails)
//   FAULTS_ACTION=memory the N-th allocation fails
//   FAULTS_AFTER=NAME    calls and allocations count from the first opening of a file of this name on; for
//                        interpreters, which load their own files first
//   FAULTS_READS=1       calls that read count, too: opening for reading, read, pread, fread, lseek and mmap of a file,
//   stat,
//                        and opening and reading a folder
//   FAULTS_SEED=N        chooses how a call fails and how much of the unflushed data is lost
//   FAULTS_BACKUPS=DIR   for power: an empty folder on the same file system; what lies beside it, and nothing else, can
//                        be lost
//   FAULTS_NO_SYNC=1     fsync does nothing, to see that a power failure then does harm
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
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
#include <string_view>
#include <utility>
#include <vector>

extern "C" void* __libc_malloc(std::size_t size);
extern "C" void* __libc_calloc(std::size_t count, std::size_t size);
extern "C" void* __libc_realloc(void* memory, std::size_t size);

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
std::atomic<bool> counting{true};

bool allocation_fails() {
    if (failing_allocation <= 0 || !counting || ++allocations != failing_allocation) return false;
    errno = ENOMEM;
    return true;
}

struct Faults {
    std::mutex mutex;
    long count = 0, at = -1;
    Action action = Action::none;
    unsigned long seed = 1;
    const char* log = std::getenv("FAULTS_LOG");
    std::string backups;
    std::string after;
    bool reads = std::getenv("FAULTS_READS") != nullptr;
    bool no_sync = std::getenv("FAULTS_NO_SYNC") != nullptr;
    std::map<int, WrittenFile> written;
    std::vector<Rename> renames;

    Faults() {
        const auto text = [](const char* name) { return std::string{std::getenv(name) ? std::getenv(name) : ""}; };
        const std::string wanted = text("FAULTS_ACTION");
        seed = std::strtoul(text("FAULTS_SEED").c_str(), nullptr, 10);
        at = std::atol(text("FAULTS_AT").c_str());
        backups = text("FAULTS_BACKUPS");
        after = text("FAULTS_AFTER");
        counting = after.empty();
        if (wanted == "kill_before") action = Action::kill_before;
        if (wanted == "kill_after") action = Action::kill_after;
        if (wanted == "power") action = Action::power;
        if (wanted == "fail") action = Action::fail;
        if (wanted == "memory") failing_allocation = at;
    }

    /// Files elsewhere, such as those of an interpreter that is being tested, are out of this library's reach.
    bool may_lose(const std::string& path) const {
        return action != Action::power ||
               (!backups.empty() && path.starts_with(backups.substr(0, backups.rfind('/') + 1)));
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
        if (!counting) return false;
        ++count;
        if (log != nullptr) {
            if (std::FILE* file = next<std::FILE*(const char*, const char*)>("fopen")(log, "a")) {
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

/// A call that changes no file; it returns `failure` where it fails.
template <class Call>
auto reading(const char* name, const char* detail, decltype(std::declval<Call>()()) failure, const Call& call)
    -> decltype(call()) {
    if (faults().reads) {
        const std::scoped_lock lock{faults().mutex};
        if (faults().enter(name, detail)) return failure;
    }
    return call();
}
template <class Call>
auto reading(const char* name, const Call& call) -> decltype(call()) {
    return reading(name, "", decltype(call())(-1), call);
}

std::FILE* open_stream(const char* function, const char* path, const char* mode) {
    return reading("fopen", path, nullptr,
                   [&] { return next<std::FILE*(const char*, const char*)>(function)(path, mode); });
}

template <class Open>
int open_file(const Open& real, const char* path, int flags, mode_t mode) {
    const std::string_view name = path;
    if (!counting && name.substr(name.rfind('/') + 1) == faults().after) counting = true;
    if ((flags & (O_WRONLY | O_RDWR | O_CREAT)) == 0)
        return reading("open to read", path, -1, [&] { return real(path, flags, mode); });
    const std::scoped_lock lock{faults().mutex};
    if (faults().enter("open", path)) return -1;
    const int file = real(path, flags, mode);
    if (file >= 0 && faults().may_lose(path)) faults().written[file] = {path, 0};
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

void* malloc(std::size_t size) { return allocation_fails() ? nullptr : __libc_malloc(size); }

void* calloc(std::size_t count, std::size_t size) { return allocation_fails() ? nullptr : __libc_calloc(count, size); }

void* realloc(void* memory, std::size_t size) { return allocation_fails() ? nullptr : __libc_realloc(memory, size); }

void* mmap64(void* address, std::size_t size, int protection, int flags, int file, off_t offset) noexcept {
    if (file < 0 && allocation_fails()) return MAP_FAILED;
    const auto real = next<void*(void*, std::size_t, int, int, int, off_t)>("mmap64");
    const auto call = [&] { return reinterpret_cast<long>(real(address, size, protection, flags, file, offset)); };
    return reinterpret_cast<void*>(file < 0 ? call() : reading("mmap", call));
}

void* mmap(void* address, std::size_t size, int protection, int flags, int file, off_t offset) noexcept {
    return mmap64(address, size, protection, flags, file, offset);
}

std::FILE* fopen(const char* path, const char* mode) { return open_stream("fopen", path, mode); }
std::FILE* fopen64(const char* path, const char* mode) { return open_stream("fopen64", path, mode); }

std::size_t fread(void* bytes, std::size_t size, std::size_t count, std::FILE* file) {
    const auto real = next<std::size_t(void*, std::size_t, std::size_t, std::FILE*)>("fread");
    return reading("fread", "", 0, [&] { return real(bytes, size, count, file); });
}

int stat(const char* path, struct stat* status) noexcept {
    return reading("stat", path, -1, [&] { return next<int(const char*, struct stat*)>("stat")(path, status); });
}
int lstat(const char* path, struct stat* status) noexcept {
    return reading("lstat", path, -1, [&] { return next<int(const char*, struct stat*)>("lstat")(path, status); });
}

DIR* fdopendir(int file) {
    return reading("fdopendir", "", nullptr, [&] { return next<DIR*(int)>("fdopendir")(file); });
}
dirent* readdir(DIR* folder) {
    return reading("readdir", "", nullptr, [&] { return next<dirent*(DIR*)>("readdir")(folder); });
}

ssize_t read(int file, void* bytes, std::size_t count) {
    return reading("read", [&] { return next<ssize_t(int, void*, std::size_t)>("read")(file, bytes, count); });
}

ssize_t pread(int file, void* bytes, std::size_t count, off_t position) {
    const auto real = next<ssize_t(int, void*, std::size_t, off_t)>("pread");
    return reading("pread", [&] { return real(file, bytes, count, position); });
}

off_t lseek64(int file, off_t offset, int whence) noexcept {
    return reading("lseek", [&] { return next<off_t(int, off_t, int)>("lseek64")(file, offset, whence); });
}

int open(const char* path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    const mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    return open_file(next<int(const char*, int, ...)>("open"), path, flags, mode);
}

int openat(int folder, const char* path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    const mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    const auto real = next<int(int, const char*, int, ...)>("openat");
    return open_file([&](const char* name, int how, mode_t rights) { return real(folder, name, how, rights); }, path,
                     flags, mode);
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
        const auto known = faults().written.find(file);
        if (known == faults().written.end()) return real(file);
        // Data that was not flushed can be lost after the file was closed, too.
        const WrittenFile closed = known->second;
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
    if (result == 0 && faults().may_lose(to)) faults().renames.push_back(done);
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

int unlink(const char* path) noexcept {
    const std::scoped_lock lock{faults().mutex};
    if (faults().enter("unlink", path)) return -1;
    const int result = next<int(const char*)>("unlink")(path);
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
