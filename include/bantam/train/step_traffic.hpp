// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/chunk.hpp>
#include <bantam/base/communicator.hpp>
#include <bantam/base/index.hpp>
#include <bantam/base/overlapped_sums.hpp>
#include <bantam/core/network.hpp>
#include <bantam/train/layer_tensors.hpp>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

namespace bantam {

/// What a training step on the CPU exchanges among ranks by a communicator that `overlaps`.
struct StepTraffic {
    Index exchanges = 0;  ///< collective calls; the gradients of all layers are one
    Index bytes = 0;      ///< that the rank receives
    /// Messages of which each depends on the one before, and their bytes: a gathering and a broadcast among N ranks
    /// take ⌈log2 N⌉ of them, and a sum that goes from rank to rank N − 1.
    struct InTurn {
        Index messages = 0;
        Index bytes = 0;

        /// By the usual model of a network: a latency for each message, and a time for each byte.
        constexpr double seconds(double latency, double bytes_per_second) const {
            return static_cast<double>(messages) * latency + static_cast<double>(bytes) / bytes_per_second;
        }
    };
    InTurn forward;    ///< of exchanges that block the computation outside the backward pass
    InTurn backward;   ///< of those that block the backward pass
    InTurn gradients;  ///< of those that go on during the backward pass

    /// The time that a step's exchanges add to its computation, of which the backward pass takes `computation` seconds.
    /// Gradients are exchanged during these, and while the sums that block the backward pass are exchanged.
    constexpr double seconds(double latency, double bytes_per_second, double computation = 0) const {
        const double hiding = computation + static_cast<double>(backward.messages) * latency;
        return forward.seconds(latency, bytes_per_second) + backward.seconds(latency, bytes_per_second) +
               std::max(0.0, gradients.seconds(latency, bytes_per_second) - hiding);
    }

    /// Items of which each rank has its own and gets the others.
    constexpr void add_gathering(InTurn& blocking, Index items, Index own, Index item_bytes, int ranks) {
        ++exchanges;
        bytes += (items - own) * item_bytes;
        blocking.messages += rounds(ranks);
        blocking.bytes += items * (ranks - 1) / ranks * item_bytes;
    }
    /// `sum_in_order` of `size` scalars of `scalar_bytes`.
    constexpr void add_sum(InTurn& blocking, Index size, Index scalar_bytes, Index batch, Rank rank) {
        const Index chunks = chunk_count(batch), bytes_per_sum = size * scalar_bytes;
        if (static_cast<std::size_t>(chunks * bytes_per_sum) <= gathered_partials)
            return add_gathering(blocking, chunks, chunks_of_rank(chunks, rank).count(), bytes_per_sum, rank.count);
        const Index last = add_chain(bytes_per_sum, chunks, rank);
        blocking.messages += last + rounds(rank.count);
        blocking.bytes += (last + rounds(rank.count)) * bytes_per_sum;
    }
    /// `OverlappedSums` of `size` scalars of `scalar_bytes` in all: segments are sent to the last rank with chunks and
    /// their totals from there, one behind the other. A rank between two others sends each of them twice.
    constexpr void add_overlapped_sums(Index size, Index scalar_bytes, Index batch, Rank rank) {
        const Index last = add_chain(size * scalar_bytes, chunk_count(batch), rank);
        const Index hops = last + std::max(last, rank.count - 1 - last);
        gradients.messages += hops;
        gradients.bytes += (rank.count > 2 ? 2 : 1) * size * scalar_bytes +
                           (hops - 1) * std::min(size * scalar_bytes, Index{overlapped_segment});
    }

private:
    /// Sums that go from rank to rank; returns the last one that adds.
    constexpr Index add_chain(Index sum_bytes, Index chunks, Rank rank) {
        ++exchanges;
        const int last = ranks_with_chunks(chunks, rank.count) - 1;
        if (rank.index > 0 && rank.index <= last) bytes += sum_bytes;  // the sum of the chunks before
        if (rank.index != last) bytes += sum_bytes;                    // the total
        return last;
    }
    static constexpr Index rounds(int ranks) { return std::bit_width(static_cast<unsigned>(ranks) - 1U); }
};

/// The traffic of a network with the tensors `tensor_table<Net>` and this number of outputs: the logits of each sample,
/// the gradients of the layers' parameters and, for each batch norm, the moments of the batch and the two sums of its
/// backward pass. With `norms_per_rank` the norms exchange their running statistics, and the gradients of their
/// parameters, all at once. Layers run once, and a convolution, its batch norm and its activation are fused.
constexpr StepTraffic step_traffic(std::span<const NamedTensor> tensors, Index outputs, Index batch, Rank rank,
                                   bool norms_per_rank = false) {
    StepTraffic traffic;
    if (rank.count == 1) return traffic;
    traffic.add_gathering(traffic.forward, batch, samples_of_rank(batch, rank).count(), outputs * Index{sizeof(float)},
                          rank.count);
    LayerTensors norms;
    Index gradients = 0;
    for (const auto& [trained, statistics] : layer_tensors(tensors)) {
        if (statistics == 0) {
            gradients += trained;
        } else if (norms_per_rank) {
            norms.trained += trained;
            norms.statistics += statistics;
        } else {
            // The gradients of a norm's parameters follow from the sums of its backward pass.
            for (StepTraffic::InTurn* pass : {&traffic.forward, &traffic.backward})
                traffic.add_sum(*pass, statistics, sizeof(double), batch, rank);
        }
    }
    if (gradients > 0) traffic.add_overlapped_sums(gradients, sizeof(float), batch, rank);
    if (norms_per_rank)
        for (const Index scalars : {norms.statistics, norms.trained})
            traffic.add_gathering(traffic.forward, rank.count, 1, scalars * Index{sizeof(float)}, rank.count);
    return traffic;
}

/// That of a network type.
template <class Net>
constexpr StepTraffic step_traffic_of(Index batch, Rank rank, bool norms_per_rank = false) {
    return step_traffic(tensor_table<Net>, class_count<Net>, batch, rank, norms_per_rank);
}

}  // namespace bantam
