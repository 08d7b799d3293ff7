// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/division.hpp>
#include <bantam/base/host_device.hpp>
#include <bantam/base/index.hpp>

#include <algorithm>

namespace bantam {

/// A batch is divided into at most this many chunks of samples. Sums over samples are kept per chunk and
/// added in a fixed order, so that results depend neither on the number of threads nor on that of ranks.
inline constexpr Index max_chunks = 16;

/// A fixed part of the batch: samples [first, first + count).
struct Chunk {
    Index index;
    Index first;
    Index count;
};

BANTAM_HOST_DEVICE constexpr Index chunk_count(Index samples) { return samples < max_chunks ? samples : max_chunks; }

BANTAM_HOST_DEVICE constexpr Chunk chunk_at(Index samples, Index index) {
    if (samples < max_chunks) return {index, index, 1};
    const Index first = samples * index / max_chunks;
    return {index, first, samples * (index + 1) / max_chunks - first};
}

/// Indices [begin, end).
struct IndexRange {
    Index begin = 0;
    Index end = 0;
    BANTAM_HOST_DEVICE constexpr Index count() const { return end - begin; }
};

/// One of the processes that compute each batch together, as MPI numbers them.
struct Rank {
    int index = 0;
    int count = 1;
};

/// Ranks that have a chunk: the first ones, where there are more ranks than chunks.
constexpr int ranks_with_chunks(Index chunks, int ranks) { return static_cast<int>(std::min<Index>(chunks, ranks)); }

/// The chunks that a rank computes, neighbors of each other.
constexpr IndexRange chunks_of_rank(Index chunks, Rank rank) {
    const Index ranks = ranks_with_chunks(chunks, rank.count);
    if (rank.index >= ranks) return {chunks, chunks};
    return {chunks * rank.index / ranks, chunks * (rank.index + 1) / ranks};
}

/// No rank computes more chunks than this of a batch, or more samples of one of up to `samples`.
constexpr Index most_chunks_of_rank(Index chunks, int ranks) { return std::min(chunks, ceil_div(max_chunks, ranks)); }
constexpr Index most_samples_of_rank(Index samples, int ranks) {
    const Index chunks = std::max<Index>(chunk_count(samples), 1);
    return std::min(samples, ceil_div(samples, chunks) * ceil_div(max_chunks, ranks));
}

/// The samples of a batch that a rank computes: those of its chunks.
constexpr IndexRange samples_of_rank(Index samples, Rank rank) {
    const auto [begin, end] = chunks_of_rank(chunk_count(samples), rank);
    if (begin == end) return {samples, samples};
    const Chunk last = chunk_at(samples, end - 1);
    return {chunk_at(samples, begin).first, last.first + last.count};
}

}  // namespace bantam
