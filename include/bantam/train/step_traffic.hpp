// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/chunk.hpp>
#include <bantam/base/communicator.hpp>
#include <bantam/base/index.hpp>
#include <bantam/core/network.hpp>

#include <cstddef>
#include <span>
#include <string_view>

namespace bantam {

/// What a training step on the CPU exchanges among ranks.
struct StepTraffic {
    Index exchanges = 0;  ///< each waits for all ranks
    Index bytes = 0;      ///< that the rank receives

    /// `sum_in_order` of `size` scalars of `scalar_bytes`.
    constexpr void add_sum(Index size, Index scalar_bytes, Index batch, Rank rank) {
        const Index chunks = chunk_count(batch), bytes_per_sum = size * scalar_bytes;
        ++exchanges;
        if (static_cast<std::size_t>(chunks * bytes_per_sum) <= gathered_partials) {
            bytes += (chunks - chunks_of_rank(chunks, rank).count()) * bytes_per_sum;
            return;
        }
        const int last = ranks_with_chunks(chunks, rank.count) - 1;
        if (rank.index > 0 && rank.index <= last) bytes += bytes_per_sum;  // the sum of the chunks before
        if (rank.index != last) bytes += bytes_per_sum;                    // the total
    }
};

/// The traffic of a network with the tensors `tensor_table<Net>` and this number of outputs: the logits of each sample,
/// the gradient of each layer's parameters and, for each batch norm, the moments of the batch and the two sums of its
/// backward pass. Layers run once, and a convolution, its batch norm and its activation are fused.
constexpr StepTraffic step_traffic(std::span<const NamedTensor> tensors, Index outputs, Index batch, Rank rank) {
    StepTraffic traffic;
    if (rank.count == 1) return traffic;
    traffic.exchanges = 1;
    traffic.bytes = (batch - samples_of_rank(batch, rank).count()) * outputs * Index{sizeof(float)};
    const auto layer_of = [](const NamedTensor& tensor) {
        const std::string_view name = tensor.name.view();
        return name.substr(0, name.rfind('.'));
    };
    for (std::size_t first = 0, end = 0; first < tensors.size(); first = end) {
        Index trained = 0, statistics = 0;
        for (; end < tensors.size() && layer_of(tensors[end]) == layer_of(tensors[first]); ++end)
            (tensors[end].tensor.trainable ? trained : statistics) += tensors[end].tensor.element_count();
        // The gradients of a batch norm follow from the sums of its backward pass.
        if (statistics == 0) traffic.add_sum(trained, sizeof(float), batch, rank);
        for (int pass = 0; pass < 2 && statistics > 0; ++pass) traffic.add_sum(statistics, sizeof(double), batch, rank);
    }
    return traffic;
}

/// That of a network type.
template <class Net>
constexpr StepTraffic step_traffic_of(Index batch, Rank rank) {
    return step_traffic(tensor_table<Net>, class_count<Net>, batch, rank);
}

}  // namespace bantam
