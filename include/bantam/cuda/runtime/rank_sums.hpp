// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/bfloat16.hpp>
#include <bantam/base/chunk.hpp>
#include <bantam/base/host_device.hpp>
#include <bantam/base/index.hpp>
#include <bantam/cuda/runtime/batch_slices.hpp>
#include <bantam/cuda/runtime/device_communicator.hpp>
#include <bantam/cuda/runtime/execution.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace bantam::cuda {

namespace detail {

/// gradient[i] = Σ over the chunks of all ranks of their partials, in order; the partials of a gradient that is already
/// that of the whole batch are taken as they are.
template <class T>
struct AddGradients {
    const T* computed;  // [chunk of this rank][size]
    const T* received;  // [chunk][segment], those of the other ranks
    const std::uint8_t* whole;
    IndexRange rank_chunks;
    Index chunks, size;
    IndexRange segment;  // the indices that this rank adds
    T* gradient;

    BANTAM_HOST_DEVICE void operator()(Index at) const {
        const Index i = segment.begin + at;
        if (whole[i]) {
            gradient[i] = computed[i];
            return;
        }
        double sum = 0;
        for (Index chunk = 0; chunk < chunks; ++chunk) {
            const bool computed_here = chunk >= rank_chunks.begin && chunk < rank_chunks.end;
            sum += static_cast<double>(computed_here ? computed[(chunk - rank_chunks.begin) * size + i]
                                                     : received[chunk * segment.count() + at]);
        }
        gradient[i] = static_cast<T>(sum);
    }
};

}  // namespace detail

/// The sums over a batch that several ranks compute, in the memory of this rank's device. Partial sums are kept per
/// chunk and added in the order of the chunks. Sums that the pass needs are exchanged one by one; the gradients of all
/// parameters in one exchange, when the backward pass has ended.
template <class S>
class RankSums {
public:
    using ComputeType = Compute<S>;

    /// `whole[i]`: parameter i is a batch norm's, whose gradient each rank computes from the sums of all. With
    /// `exchange_each` every gradient is exchanged when it is computed, as where a pass adds gradients.
    RankSums(const Execution& execution, DeviceCommunicator& communicator, const std::vector<std::uint8_t>& whole,
             bool exchange_each)
        : communicator_{communicator}, size_{std::ssize(whole)}, exchange_each_{exchange_each} {
        whole_.reserve(size_);
        copy_to_device(execution, whole.data(), size_, whole_.data());
    }

    DeviceCommunicator& communicator() const { return communicator_; }
    Rank rank() const { return communicator_.rank(); }

    /// Memory for the partials of a batch: `sums` doubles per chunk, and `bytes` for all of them. Returns whether
    /// memory has moved.
    bool reserve(Index samples, Index sums, Index bytes) {
        const Index chunks = chunk_count(samples);
        row_.reserve(sums);
        bool moved = sums_.reserve(std::max(chunks * sums, ceil_div(bytes, Index{sizeof(double)})));
        if (exchange_each_) return moved;
        moved |= computed_.reserve(most_chunks_of_rank(chunks, rank().count) * size_);
        if (rank().count > 1) moved |= received_.reserve(chunks * segment_of(rank()).count());
        return moved;
    }

    /// Partials [chunk][…] of one sum.
    template <class T>
    T* partials() {
        return reinterpret_cast<T*>(sums_.data());
    }

    /// A row of a map.
    S* row() { return row_.data(); }

    /// Where the backward pass writes the gradient of this rank's chunks, [chunk][parameter]; null: it writes that of
    /// the whole batch.
    ComputeType* gradients() { return exchange_each_ ? nullptr : computed_.data(); }
    Index gradient_size() const { return size_; }

    /// Adds the gradients of all ranks: each sends the others their segments of the parameters, adds one segment,
    /// and sends the result to all.
    void add_gradients(const Execution& execution, Index samples, ComputeType* gradient) {
        const Index chunks = chunk_count(samples);
        const IndexRange here = chunks_of_rank(chunks, rank()), segment = segment_of(rank());
        std::vector<DeviceMessage> sent, received;
        for (int other = 0; other < rank().count; ++other) {
            const Rank of{other, rank().count};
            if (other == rank().index) continue;
            for (Index chunk = 0; chunk < here.count(); ++chunk)
                sent.push_back(
                    message(computed_.data() + chunk * size_ + segment_of(of).begin, segment_of(of).count(), other));
            const IndexRange theirs = chunks_of_rank(chunks, of);
            for (Index chunk = theirs.begin; chunk < theirs.end; ++chunk)
                received.push_back(message(received_.data() + chunk * segment.count(), segment.count(), other));
        }
        communicator_.exchange(execution, sent, received);
        for_each_index(execution, segment.count(),
                       detail::AddGradients<ComputeType>{computed_.data(), received_.data(), whole_.data(), here,
                                                         chunks, size_, segment, gradient});
        all_gather(execution, communicator_, gradient, 1, [this](Rank of) { return segment_of(of); });
    }

private:
    /// The parameters whose gradients a rank adds.
    IndexRange segment_of(Rank of) const { return {size_ * of.index / of.count, size_ * (of.index + 1) / of.count}; }

    static DeviceMessage message(ComputeType* values, Index count, int rank) {
        return {reinterpret_cast<std::byte*>(values), static_cast<std::size_t>(count) * sizeof(ComputeType), rank};
    }

    DeviceCommunicator& communicator_;
    Index size_;
    bool exchange_each_;
    DeviceBuffer<std::uint8_t> whole_;
    DeviceBuffer<double> sums_;
    DeviceBuffer<S> row_;
    DeviceBuffer<ComputeType> computed_, received_;
};

}  // namespace bantam::cuda
