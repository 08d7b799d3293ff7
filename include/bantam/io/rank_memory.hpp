// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/communicator.hpp>

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

/// `all_gather` of one value per rank.
template <class T>
std::vector<T> gather_from_ranks(Communicator& ranks, const T& value) {
    std::vector<T> values(static_cast<std::size_t>(ranks.rank().count));
    values[static_cast<std::size_t>(ranks.rank().index)] = value;
    all_gather(ranks, std::span{values}, 1, [](Rank of) { return IndexRange{of.index, of.index + 1}; });
    return values;
}

#ifdef __linux__

/// An open file, or none.
class OpenFile {
public:
    explicit OpenFile(int number = -1) : number_{number} {}
    OpenFile(OpenFile&& other) noexcept : number_{std::exchange(other.number_, -1)} {}
    OpenFile& operator=(OpenFile&& other) noexcept {
        std::swap(number_, other.number_);
        return *this;
    }
    ~OpenFile() {
        if (number_ >= 0) close(number_);
    }
    int number() const { return number_; }

private:
    int number_;
};

/// Memory without a name that another process of the machine finds by its process and file number. Numbers may mean
/// something else on another machine, so that it ends with a random token.
struct MemoryOffer {
    std::int64_t process = 0;
    std::int64_t file = -1;  ///< negative: none
    std::array<std::uint32_t, 4> token{};
};

inline std::shared_ptr<std::uint8_t[]> map_memory(const OpenFile& file, std::size_t bytes) {
    void* const mapped = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file.number(), 0);
    if (mapped == MAP_FAILED) return nullptr;
    return {static_cast<std::uint8_t*>(mapped), [bytes](std::uint8_t* memory) { munmap(memory, bytes); }};
}

inline OpenFile create_memory(std::size_t bytes, MemoryOffer& offer) {
    OpenFile file{memfd_create("bantam", MFD_CLOEXEC)};
    std::random_device random;
    for (std::uint32_t& word : offer.token) word = random();
    const auto end = static_cast<off_t>(bytes);
    if (file.number() < 0 || pwrite(file.number(), offer.token.data(), sizeof offer.token, end) < 0) return OpenFile{};
    offer.process = getpid();
    offer.file = file.number();
    return file;
}

inline OpenFile open_offer(const MemoryOffer& offer, std::size_t bytes) {
    if (offer.file < 0) return OpenFile{};
    const std::string path = "/proc/" + std::to_string(offer.process) + "/fd/" + std::to_string(offer.file);
    // What the numbers mean on this machine may be a pipe.
    OpenFile file{open(path.c_str(), O_RDWR | O_CLOEXEC | O_NONBLOCK)};
    decltype(offer.token) token{};
    const bool read = file.number() >= 0 &&
                      pread(file.number(), token.data(), sizeof token, static_cast<off_t>(bytes)) == sizeof token;
    return read && token == offer.token ? std::move(file) : OpenFile{};
}

#endif

}  // namespace detail

inline RankMemory::RankMemory(Communicator& ranks, std::size_t bytes, [[maybe_unused]] bool shared) {
    int holder = ranks.rank().index;
#ifdef __linux__
    const std::size_t size = bytes + sizeof(detail::MemoryOffer::token);
    detail::MemoryOffer offer;
    detail::OpenFile own;
    if (shared) own = detail::create_memory(bytes, offer);
    if (own.number() >= 0) bytes_ = detail::map_memory(own, size);
    if (!bytes_) offer.file = -1;
    const std::vector<detail::MemoryOffer> offers = detail::gather_from_ranks(ranks, offer);
    for (int rank = 0; shared && rank < ranks.rank().index; ++rank) {
        const detail::OpenFile other = detail::open_offer(offers[static_cast<std::size_t>(rank)], bytes);
        auto mapped = other.number() >= 0 ? detail::map_memory(other, size) : nullptr;
        if (!mapped) continue;
        bytes_ = std::move(mapped);
        holder = rank;
        break;
    }
#endif
    if (!bytes_) bytes_ = std::make_unique_for_overwrite<std::uint8_t[]>(bytes);
    holders_ = detail::gather_from_ranks(ranks, holder);
}

}  // namespace bantam
