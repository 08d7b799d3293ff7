// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/chunk.hpp>
#include <bantam/base/communicator.hpp>
#include <bantam/base/division.hpp>
#include <bantam/base/index.hpp>

#include <algorithm>
#include <cstddef>
#include <span>
#include <thread>
#include <vector>

namespace bantam {

/// Bytes that a rank sends at a time of sums that are exchanged while it computes, few of which delay another message.
inline constexpr std::size_t overlapped_segment = std::size_t{16} << 10;

/// Sums over the chunks of all ranks in the order of the chunks, as `sum_in_order` gives them, for those that are not
/// needed immediately: they are exchanged while the ranks compute. All ranks call the members in the same order, with a
/// communicator that `overlaps`.
///
/// The scalars of all sums are one stream of segments. The partial sum of a segment is sent from the first rank to the
/// last one that has chunks, and each rank between them adds its partials; the last one sends the total to its
/// neighbors, which send it on. Every rank but the first holds the partials of its chunks until `complete`.
template <class T>
class OverlappedSums {
public:
    /// Writes `size` sums to `to`.
    using Store = void (*)(const T* sums, Index size, T* to);

    explicit OverlappedSums(Communicator& communicator) : communicator_{&communicator}, rank_{communicator.rank()} {}

    /// Begins the sums of partials[chunk · size + i] over `chunks` chunks in all, the same number until `complete`.
    /// A rank passes those of its chunks, which are copied. `store` writes the sums, to `to`, within `complete`; null
    /// copies them.
    void add(Index chunks, const T* partials, Index size, Store store, T* to) {
        if (added_ + size > capacity_) {
            complete();
            capacity_ = std::max(capacity_, size);
        }
        last_ = ranks_with_chunks(chunks, rank_.count) - 1;
        chunks_of_rank_ = chunks_of_rank(chunks, rank_).count();
        for (std::vector<T>* values : {&sums_, &totals_}) values->resize(static_cast<std::size_t>(capacity_));
        if (rank_.index == 0) {
            std::copy_n(partials, size, sums() + added_);
            add_chunks(1, partials, size, sums() + added_, size);
        } else {
            partials_.resize(std::max(partials_.size(), static_cast<std::size_t>(chunks_of_rank_ * capacity_)));
            for (Index chunk = 0; chunk < chunks_of_rank_; ++chunk)
                std::copy_n(partials + chunk * size, size, partials_.data() + chunk * capacity_ + added_);
        }
        stores_.push_back({store, added_, size, to});
        added_ += size;
        advance(false);
    }

    /// Waits for all sums that were begun, and stores them.
    void complete() {
        while (!advance(true)) std::this_thread::yield();
        for (const auto& [store, begin, size, to] : stores_) {
            if (store)
                store(totals_.data() + begin, size, to);
            else
                std::copy_n(totals_.data() + begin, size, to);
        }
        stores_.clear();
        added_ = summed_ = totaled_ = 0;
    }

    /// Memory for `capacity` sums between two calls of `complete`, which has been called. More of them call it
    /// themselves.
    void reserve(Index capacity) { capacity_ = std::max(capacity_, capacity); }

private:
    static constexpr Index segment = Index{overlapped_segment / sizeof(T)};

    struct Stored {
        Store store;
        Index begin;
        Index size;
        T* to;
    };

    /// Of the chunks up to this rank's: those of the last rank are the totals.
    T* sums() { return rank_.index == last_ ? totals_.data() : sums_.data(); }

    void add_chunks(Index first, const T* partials, Index stride, T* to, Index size) const {
        for (Index chunk = first; chunk < chunks_of_rank_; ++chunk)
            for (Index i = 0; i < size; ++i) to[i] += partials[chunk * stride + i];
    }

    std::span<T> segment_at(T* values, Index index) const {
        return {values + index * segment, static_cast<std::size_t>(std::min(segment, added_ - index * segment))};
    }
    void send(std::span<const T> values, int to) {
        if (to >= 0 && to < rank_.count) sends_.push_back(communicator_->start_send(std::as_bytes(values), to));
    }
    /// Whether the values have arrived; the first call begins to receive them.
    bool received(Transfer& transfer, std::span<T> values, int from) {
        if (!transfer) transfer = communicator_->start_receive(std::as_writable_bytes(values), from);
        if (!transfer()) return false;
        transfer = nullptr;
        return true;
    }

    /// Adds and forwards what has arrived; where `all`, up to the end of the stream. Whether nothing is under way.
    bool advance(bool all) {
        std::erase_if(sends_, [](Transfer& sent) { return sent(); });
        const Index ready = all ? ceil_div(added_, segment) : added_ / segment;
        const bool adds = rank_.index <= last_;
        while (adds && summed_ < ready) {
            const std::span<T> values = segment_at(sums(), summed_);
            if (rank_.index > 0) {
                if (!received(sum_before_, values, rank_.index - 1)) break;
                add_chunks(0, partials_.data() + summed_ * segment, capacity_, values.data(), std::ssize(values));
            }
            if (rank_.index < last_) {
                send(values, rank_.index + 1);
            } else {
                send(values, last_ - 1);
                send(values, last_ + 1);
                ++totaled_;
            }
            ++summed_;
            // One segment per layer, so that few of them delay the sums of the next norm.
            if (rank_.index == 0 && !all) break;
        }
        const int toward_last = rank_.index < last_ ? 1 : -1;
        while (rank_.index != last_ && totaled_ < (adds ? summed_ : ready)) {
            const std::span<T> values = segment_at(totals_.data(), totaled_);
            if (!received(total_, values, rank_.index + toward_last)) break;
            send(values, rank_.index - toward_last);
            ++totaled_;
        }
        return totaled_ == ready && sends_.empty();
    }

    Communicator* communicator_;
    Rank rank_;
    int last_ = 0;  // the last rank that has chunks
    Index chunks_of_rank_ = 0;
    Index capacity_ = 0;
    Index added_ = 0;                 // scalars
    Index summed_ = 0, totaled_ = 0;  // segments: added to and sent on, and received in total
    std::vector<T> partials_;         // [chunk of the rank][capacity]; not of the first rank, which adds them in `add`
    std::vector<T> sums_, totals_;
    std::vector<Stored> stores_;
    std::vector<Transfer> sends_;
    Transfer sum_before_, total_;
};

}  // namespace bantam
