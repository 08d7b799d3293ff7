// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/chunk.hpp>
#include <bantam/base/division.hpp>
#include <bantam/base/host_device.hpp>
#include <bantam/base/index.hpp>

#include <algorithm>
#include <cstdint>

namespace bantam::cuda {

/// A sum over a batch is computed in at most this many slices, which are then added in a fixed order: every run gives
/// the same bits.
inline constexpr Index max_slices = 512;

/// The chunks of a batch that this process computes, neighbors of each other.
struct BatchPart {
    Index samples = 0;  ///< of the whole batch
    IndexRange chunks;

    static BatchPart whole(Index samples) { return {samples, {0, chunk_count(samples)}}; }
    static BatchPart of_rank(Index samples, Rank rank) { return {samples, chunks_of_rank(chunk_count(samples), rank)}; }
    BANTAM_HOST_DEVICE Index first_sample() const { return chunk_at(samples, chunks.begin).first; }
};

/// The rows of a batch's maps, or its tiles, in slices of which each belongs to one chunk. Every chunk has as many
/// slices; its last ones may be short or empty. The slices of a chunk depend on the whole batch alone, not on which
/// chunks a process computes.
struct BatchSlices {
    BatchPart part;
    Index rows_per_sample, rows_per_slice, slices_per_chunk;

    /// Slices of a multiple of `unit` rows, at most `most` in the whole batch where it has fewer chunks.
    static BatchSlices of(const BatchPart& part, Index rows_per_sample, Index unit = 1, Index most = max_slices) {
        const Index chunks = std::max<Index>(1, chunk_count(part.samples));
        const Index rows_per_chunk = ceil_div(part.samples, chunks) * rows_per_sample;  // of the largest chunk
        const Index units = std::max<Index>(1, ceil_div(rows_per_chunk, unit));
        const Index units_per_slice = ceil_div(units, std::max<Index>(1, most / chunks));
        return {part, rows_per_sample, units_per_slice * unit, ceil_div(units, units_per_slice)};
    }
    /// Rows that are not cut into chunks.
    static BatchSlices of_rows(Index rows, Index rows_per_slice) {
        return {BatchPart::whole(1), rows, rows_per_slice, std::max<Index>(1, ceil_div(rows, rows_per_slice))};
    }
    /// One slice per chunk.
    static BatchSlices chunks_of(const BatchPart& part, Index rows_per_sample) {
        return of(part, rows_per_sample, 1, chunk_count(part.samples));
    }

    /// Slices that this process computes.
    BANTAM_HOST_DEVICE Index count() const { return part.chunks.count() * slices_per_chunk; }

    /// The rows of a slice, counted from the first one of this process; none where the end is not behind the beginning.
    BANTAM_HOST_DEVICE IndexRange operator[](Index slice) const {
        // In 32 bits, as a GPU takes several times as long for a division in 64 bits.
        const auto chunk = Index{static_cast<std::uint32_t>(slice) / static_cast<std::uint32_t>(slices_per_chunk)};
        const Chunk samples = chunk_at(part.samples, part.chunks.begin + chunk);
        const Index first = (samples.first - part.first_sample()) * rows_per_sample;
        const Index begin = first + (slice - chunk * slices_per_chunk) * rows_per_slice;
        const Index end = first + samples.count * rows_per_sample;
        return {begin, begin + rows_per_slice < end ? begin + rows_per_slice : end};
    }
};

}  // namespace bantam::cuda
