// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/communicator.hpp>
#include <bantam/base/error.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#ifdef __linux__
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <random>
#endif

namespace bantam {

/// Memory that the ranks of one machine have in common. Where `shared` is false, on other systems than Linux and where
/// the system refuses, each rank has its own. All ranks create it at the same time with the same sizes. Throws
/// std::bad_alloc.
class RankMemory {
public:
    RankMemory(Communicator& ranks, std::size_t bytes, bool shared);

    /// Released when the last of its users has gone.
    const std::shared_ptr<std::uint8_t[]>& bytes() const { return bytes_; }
    /// The rank whose memory this rank has in common with it: the first one of its machine, or itself.
    int holder(int rank) const { return holders_[static_cast<std::size_t>(rank)]; }

private:
    std::shared_ptr<std::uint8_t[]> bytes_;
    std::vector<int> holders_;  // by rank
};

namespace detail {

#ifdef __linux__

/// An open file descriptor, or none.
class FileDescriptor {
public:
    explicit FileDescriptor(int descriptor = -1) : descriptor_{descriptor} {}
    FileDescriptor(FileDescriptor&& other) noexcept : descriptor_{std::exchange(other.descriptor_, -1)} {}
    FileDescriptor& operator=(FileDescriptor&& other) noexcept {
        std::swap(descriptor_, other.descriptor_);
        return *this;
    }
    ~FileDescriptor() {
        if (descriptor_ >= 0) close(descriptor_);
    }
    int get() const { return descriptor_; }

private:
    int descriptor_;
};

/// Memory without a name that another process of the machine finds by its process and file descriptor. They may mean
/// something else on another machine, so that it ends with a random token.
struct MemoryOffer {
    std::int64_t process = 0;
    std::int64_t file = -1;  ///< negative: none
    std::array<std::uint32_t, 4> token{};
};

inline std::shared_ptr<std::uint8_t[]> map_memory(const FileDescriptor& file, std::size_t bytes) {
    void* const mapped = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
    if (mapped == MAP_FAILED) return nullptr;
    return {static_cast<std::uint8_t*>(mapped), [bytes](std::uint8_t* memory) { munmap(memory, bytes); }};
}

inline FileDescriptor create_memory(std::size_t bytes, MemoryOffer& offer) {
    FileDescriptor file{memfd_create("bantam", MFD_CLOEXEC)};
    std::random_device random;
    for (std::uint32_t& word : offer.token) word = random();
    const auto end = static_cast<off_t>(bytes);
    if (file.get() < 0 || pwrite(file.get(), offer.token.data(), sizeof offer.token, end) < 0) return FileDescriptor{};
    offer.process = getpid();
    offer.file = file.get();
    return file;
}

inline FileDescriptor open_offer(const MemoryOffer& offer, std::size_t bytes) {
    if (offer.file < 0) return FileDescriptor{};
    const std::string path = "/proc/" + std::to_string(offer.process) + "/fd/" + std::to_string(offer.file);
    // What the numbers mean on this machine may be a pipe.
    FileDescriptor file{open(path.c_str(), O_RDWR | O_CLOEXEC | O_NONBLOCK)};
    decltype(offer.token) token{};
    const bool read =
        file.get() >= 0 && pread(file.get(), token.data(), sizeof token, static_cast<off_t>(bytes)) == sizeof token;
    return read && token == offer.token ? std::move(file) : FileDescriptor{};
}

#endif

}  // namespace detail

inline RankMemory::RankMemory(Communicator& ranks, std::size_t bytes, [[maybe_unused]] bool shared) {
    int holder = ranks.rank().index;
#ifdef __linux__
    const std::size_t size = bytes + sizeof(detail::MemoryOffer::token);
    detail::MemoryOffer offer;
    detail::FileDescriptor created;
    if (shared) created = detail::create_memory(bytes, offer);
    if (created.get() >= 0) bytes_ = detail::map_memory(created, size);
    if (!bytes_) offer.file = -1;
    const std::vector<detail::MemoryOffer> offers = gather_from_ranks(ranks, offer);
    for (int rank = 0; shared && rank < ranks.rank().index; ++rank) {
        const detail::FileDescriptor other = detail::open_offer(offers[static_cast<std::size_t>(rank)], bytes);
        auto mapped = other.get() >= 0 ? detail::map_memory(other, size) : nullptr;
        if (!mapped) continue;
        bytes_ = std::move(mapped);
        holder = rank;
        break;
    }
#endif
    if (!bytes_) bytes_ = std::make_unique_for_overwrite<std::uint8_t[]>(bytes);
    holders_ = gather_from_ranks(ranks, holder);
    for (const int first : holders_)
        if (holders_[static_cast<std::size_t>(first)] != first)
            throw Error{
                "the ranks of this machine cannot all open the memory that they share; start them in one container "
                "and as one user"};
}

}  // namespace bantam
