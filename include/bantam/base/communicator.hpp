// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/chunk.hpp>
#include <bantam/base/index.hpp>

#include <algorithm>
#include <cstddef>
#include <functional>
#include <span>
#include <type_traits>
#include <vector>

namespace bantam {

/// A message under way: call it until it returns true, when the message has arrived or has left its sender's memory.
using Transfer = std::function<bool()>;

/// How the ranks that train one network exchange data. train/mpi_communicator.hpp has the one for MPI; derive from this
/// class for another transport. All ranks call the same members in the same order, each from one thread, and every
/// member returns once its own data may be used again. A rank that fails must end the others, whose calls
/// would never return.
class Communicator {
public:
    explicit Communicator(Rank rank) : rank_{rank} {}
    Communicator(const Communicator&) = delete;
    Communicator& operator=(const Communicator&) = delete;
    virtual ~Communicator() = default;

    Rank rank() const { return rank_; }

    /// Called by two ranks alone, with the same number of bytes.
    virtual void send(std::span<const std::byte> data, int to) = 0;
    virtual void receive(std::span<std::byte> data, int from) = 0;
    /// Rank r has filled bytes [offsets[r], offsets[r + 1]) of `data`; afterwards every rank has all of them.
    virtual void all_gather(std::span<std::byte> data, std::span<const std::size_t> offsets) = 0;
    /// Afterwards every rank has the data of rank `from`.
    virtual void broadcast(std::span<std::byte> data, int from) = 0;
    /// Returns when all ranks have called it.
    virtual void barrier() = 0;

    /// Whether the transport has the two members below, which it need not have. With them, gradients are exchanged
    /// while the ranks compute.
    virtual bool overlaps() const { return false; }
    /// Begin to send and to receive, and return immediately. The data must stay until the transfer is done. Messages
    /// from one rank to another arrive in the order in which they were begun, beside those of `send`.
    virtual Transfer start_send(std::span<const std::byte>, int /*to*/) { return {}; }
    virtual Transfer start_receive(std::span<std::byte>, int /*from*/) { return {}; }

    /// Memory of at least `bytes` for the duration of one exchange, aligned for any scalar.
    std::byte* scratch(std::size_t bytes) {
        if (scratch_.size() < bytes) scratch_.resize(bytes);
        return scratch_.data();
    }

private:
    Rank rank_;
    std::vector<std::byte> scratch_;
};

/// A process that trains alone.
class SingleProcess final : public Communicator {
public:
    SingleProcess() : Communicator{Rank{}} {}

    void send(std::span<const std::byte>, int) override {}
    void receive(std::span<std::byte>, int) override {}
    void all_gather(std::span<std::byte>, std::span<const std::size_t>) override {}
    void broadcast(std::span<std::byte>, int) override {}
    void barrier() override {}
};

/// `all_gather` of values [item][width], of which rank r has filled the items `items_of_rank(r)`.
template <class T, class ItemsOfRank>
    requires std::is_trivially_copyable_v<T>
void all_gather(Communicator& communicator, std::span<T> values, Index width, const ItemsOfRank& items_of_rank) {
    const int ranks = communicator.rank().count;
    std::vector<std::size_t> offsets;
    for (int index = 0; index < ranks; ++index) {
        const IndexRange items = items_of_rank(Rank{index, ranks});
        offsets.push_back(static_cast<std::size_t>(items.begin * width) * sizeof(T));
    }
    offsets.push_back(values.size_bytes());
    communicator.all_gather(std::as_writable_bytes(values), offsets);
}

/// `broadcast` of values.
template <class T>
    requires std::is_trivially_copyable_v<T>
void broadcast(Communicator& communicator, std::span<T> values, int from) {
    communicator.broadcast(std::as_writable_bytes(values), from);
}

/// `all_gather` of one value per rank.
template <class T>
std::vector<T> gather_from_ranks(Communicator& communicator, const T& value) {
    const Rank rank = communicator.rank();
    std::vector<T> values(static_cast<std::size_t>(rank.count));
    values[static_cast<std::size_t>(rank.index)] = value;
    all_gather(communicator, std::span{values}, 1, [](Rank of) { return IndexRange{of.index, of.index + 1}; });
    return values;
}

/// The largest of the ranks' values.
inline int largest(Communicator& communicator, int value) {
    const std::vector<int> values = gather_from_ranks(communicator, value);
    return *std::ranges::max_element(values);
}

/// Partials of all chunks in bytes up to which the ranks gather them all, which takes one message's latency. Larger
/// ones are added from rank to rank, which sends each sum once.
inline constexpr std::size_t gathered_partials = std::size_t{32} << 10;

/// total[i] = Σ over the `chunks` of all ranks of partials[chunk · stride + i], added in the order of the chunks, as
/// one process adds them. A rank passes the partials of its own chunks (`chunks_of_rank`) and gets the total, which may
/// be where its first partials are.
template <class T>
void sum_in_order(Communicator& communicator, Index chunks, const T* partials, Index stride, Index size, T* total) {
    const Rank rank = communicator.rank();
    const Index own = chunks_of_rank(chunks, rank).count();
    const auto add_own = [&](Index first, Index begin, Index end, T* sums) {
        for (Index chunk = first; chunk < own; ++chunk)
            for (Index i = begin; i < end; ++i) sums[i - begin] += partials[chunk * stride + i];
    };
    if (static_cast<std::size_t>(chunks * size) * sizeof(T) <= gathered_partials) {
        T* const all = reinterpret_cast<T*>(communicator.scratch(static_cast<std::size_t>(chunks * size) * sizeof(T)));
        const Index before = chunks_of_rank(chunks, rank).begin;
        for (Index chunk = 0; chunk < own; ++chunk)
            std::copy_n(partials + chunk * stride, size, all + (before + chunk) * size);
        all_gather(communicator, std::span<T>{all, static_cast<std::size_t>(chunks * size)}, size,
                   [&](Rank of) { return chunks_of_rank(chunks, of); });
        std::copy_n(all, size, total);
        for (Index chunk = 1; chunk < chunks; ++chunk)
            for (Index i = 0; i < size; ++i) total[i] += all[chunk * size + i];
        return;
    }
    // Segments, so that the ranks of a longer chain work at the same time.
    constexpr Index segment = Index{64 << 10} / Index{sizeof(T)};
    T* const sums = reinterpret_cast<T*>(communicator.scratch(std::size_t{segment} * sizeof(T)));
    const int last = ranks_with_chunks(chunks, rank.count) - 1;
    for (Index begin = 0; begin < size && rank.index <= last; begin += segment) {
        const Index end = std::min(begin + segment, size);
        const std::span<T> of_segment{sums, static_cast<std::size_t>(end - begin)};
        if (rank.index > 0)
            communicator.receive(std::as_writable_bytes(of_segment), rank.index - 1);
        else
            std::copy(partials + begin, partials + end, sums);
        add_own(rank.index > 0 ? 0 : 1, begin, end, sums);
        if (rank.index < last)
            communicator.send(std::as_bytes(of_segment), rank.index + 1);
        else
            std::copy_n(sums, end - begin, total + begin);
    }
    broadcast(communicator, std::span<T>{total, static_cast<std::size_t>(size)}, last);
}

}  // namespace bantam
