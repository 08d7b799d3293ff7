// SPDX-License-Identifier: MIT
#pragma once

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

constexpr Index chunk_count(Index samples) { return std::min(samples, max_chunks); }

constexpr Chunk chunk_at(Index samples, Index index) {
    const Index chunks = chunk_count(samples);
    const Index first = samples * index / chunks;
    return {index, first, samples * (index + 1) / chunks - first};
}

/// Indices [begin, end).
struct IndexRange {
    Index begin = 0;
    Index end = 0;
    constexpr Index count() const { return end - begin; }
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

/// The samples of a batch that a rank computes: those of its chunks.
constexpr IndexRange samples_of_rank(Index samples, Rank rank) {
    const auto [begin, end] = chunks_of_rank(chunk_count(samples), rank);
    if (begin == end) return {samples, samples};
    const Chunk last = chunk_at(samples, end - 1);
    return {chunk_at(samples, begin).first, last.first + last.count};
}

}  // namespace bantam
