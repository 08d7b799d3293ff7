// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/base/random.hpp>
#include <bantam/data/batch.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace bantam {

/// How training divides an epoch of `samples` into k batches: they cover [i·n/k, (i+1)·n/k), so that their sizes differ
/// by at most one; a batch has a single sample only where batch_size is 1 or there is but one.
struct EpochBatches {
    Index samples;
    Index batch_size;

    Index count() const {
        const Index batches = (samples + batch_size - 1) / batch_size;
        return batch_size == 1 ? batches : std::max<Index>(std::min(batches, samples / 2), samples > 0 ? 1 : 0);
    }
    /// Samples in the largest batch; above `batch_size` only for batch size 2.
    Index largest() const {
        const Index batches = count();
        return batches == 0 ? 0 : (samples + batches - 1) / batches;
    }
    BatchRange range(Index index) const {
        const Index batches = count();
        return {index * samples / batches, (index + 1) * samples / batches};
    }
};

/// The order of the samples in an epoch: a permutation that follows from the arguments alone.
inline std::vector<Index> epoch_order(std::uint64_t seed, Index epoch, Index samples) {
    constexpr std::uint64_t order_purpose = 1;
    std::vector<Index> order(static_cast<std::size_t>(samples));
    for (std::size_t index = 0; index < order.size(); ++index) order[index] = static_cast<Index>(index);
    Random random{seed, random_bits(order_purpose, static_cast<std::uint64_t>(epoch), 0)};
    for (std::size_t index = order.size(); index > 1; --index) std::swap(order[index - 1], order[random.below(index)]);
    return order;
}

}  // namespace bantam
