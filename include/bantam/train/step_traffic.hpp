// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/chunk.hpp>
#include <bantam/base/communicator.hpp>
#include <bantam/base/index.hpp>
#include <bantam/core/network.hpp>

#include <bit>
#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

namespace bantam {

/// What a training step on the CPU exchanges among ranks.
struct StepTraffic {
    Index exchanges = 0;  ///< collective calls, which return when all ranks have taken part
    Index bytes = 0;      ///< that the rank receives
    /// Messages of which each depends on the one before, and their bytes: a gathering and a broadcast among N ranks
    /// take ⌈log2 N⌉ of them, and a sum that goes from rank to rank N − 1.
    Index messages_in_turn = 0;
    Index bytes_in_turn = 0;

    /// The time that a step's exchanges take by the usual model of a network: a latency for each message, and a time
    /// for each byte.
    constexpr double seconds(double latency, double bytes_per_second) const {
        return static_cast<double>(messages_in_turn) * latency + static_cast<double>(bytes_in_turn) / bytes_per_second;
    }

    /// Items of which each rank has its own and gets the others.
    constexpr void add_gathering(Index items, Index own, Index item_bytes, int ranks) {
        ++exchanges;
        bytes += (items - own) * item_bytes;
        messages_in_turn += rounds(ranks);
        bytes_in_turn += items * (ranks - 1) / ranks * item_bytes;
    }
    /// `sum_in_order` of `size` scalars of `scalar_bytes`.
    constexpr void add_sum(Index size, Index scalar_bytes, Index batch, Rank rank) {
        const Index chunks = chunk_count(batch), bytes_per_sum = size * scalar_bytes;
        if (static_cast<std::size_t>(chunks * bytes_per_sum) <= gathered_partials)
            return add_gathering(chunks, chunks_of_rank(chunks, rank).count(), bytes_per_sum, rank.count);
        ++exchanges;
        const int last = ranks_with_chunks(chunks, rank.count) - 1;
        if (rank.index > 0 && rank.index <= last) bytes += bytes_per_sum;  // the sum of the chunks before
        if (rank.index != last) bytes += bytes_per_sum;                    // the total
        messages_in_turn += last + rounds(rank.count);
        bytes_in_turn += (last + rounds(rank.count)) * bytes_per_sum;
    }

private:
    static constexpr Index rounds(int ranks) { return std::bit_width(static_cast<unsigned>(ranks) - 1U); }
};

/// The scalars of a layer's tensors.
struct LayerTensors {
    Index trained = 0;
    Index statistics = 0;
};

/// Those of each layer of a network with the tensors `tensor_table<Net>`.
constexpr std::vector<LayerTensors> layer_tensors(std::span<const NamedTensor> tensors) {
    const auto layer_of = [](const NamedTensor& tensor) {
        const std::string_view name = tensor.name.view();
        return name.substr(0, name.rfind('.'));
    };
    std::vector<LayerTensors> layers;
    for (std::size_t i = 0; i < tensors.size(); ++i) {
        if (i == 0 || layer_of(tensors[i]) != layer_of(tensors[i - 1])) layers.emplace_back();
        (tensors[i].tensor.trainable ? layers.back().trained : layers.back().statistics) +=
            tensors[i].tensor.element_count();
    }
    return layers;
}

/// The traffic of a network with the tensors `tensor_table<Net>` and this number of outputs: the logits of each sample,
/// the gradient of each layer's parameters and, for each batch norm, the moments of the batch and the two sums of its
/// backward pass. With `norms_per_rank` the norms exchange their running statistics, and the gradients of their
/// parameters, all at once. Layers run once, and a convolution, its batch norm and its activation are fused.
constexpr StepTraffic step_traffic(std::span<const NamedTensor> tensors, Index outputs, Index batch, Rank rank,
                                   bool norms_per_rank = false) {
    StepTraffic traffic;
    if (rank.count == 1) return traffic;
    traffic.add_gathering(batch, samples_of_rank(batch, rank).count(), outputs * Index{sizeof(float)}, rank.count);
    LayerTensors norms;
    for (const auto& [trained, statistics] : layer_tensors(tensors)) {
        if (statistics == 0) {
            traffic.add_sum(trained, sizeof(float), batch, rank);
        } else if (norms_per_rank) {
            norms.trained += trained;
            norms.statistics += statistics;
        } else {
            // The gradients of a norm's parameters follow from the sums of its backward pass.
            for (int pass = 0; pass < 2; ++pass) traffic.add_sum(statistics, sizeof(double), batch, rank);
        }
    }
    if (norms_per_rank)
        for (const Index scalars : {norms.statistics, norms.trained})
            traffic.add_gathering(rank.count, 1, scalars * Index{sizeof(float)}, rank.count);
    return traffic;
}

/// That of a network type.
template <class Net>
constexpr StepTraffic step_traffic_of(Index batch, Rank rank, bool norms_per_rank = false) {
    return step_traffic(tensor_table<Net>, class_count<Net>, batch, rank, norms_per_rank);
}

}  // namespace bantam
