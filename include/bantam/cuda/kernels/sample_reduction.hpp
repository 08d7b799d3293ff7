// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/bfloat16.hpp>
#include <bantam/base/division.hpp>
#include <bantam/base/index.hpp>
#include <bantam/base/split_index.hpp>
#include <bantam/core/shape.hpp>
#include <bantam/cuda/kernels/row_reduction.hpp>
#include <bantam/cuda/runtime/operation.hpp>

#include <algorithm>
#include <bit>
#include <cstdint>

namespace bantam::cuda {

namespace detail {

/// A term: map[pixel][c].
template <Index Channels, class S>
struct MapElement {
    const S* map;
    BANTAM_HOST_DEVICE Compute<S> operator()(Index pixel, Index c) const { return map[pixel * Channels + c]; }
};
/// A term: a[pixel][c] · b[pixel][c].
template <Index Channels, class S>
struct MapProduct {
    const S *a, *b;
    BANTAM_HOST_DEVICE Compute<S> operator()(Index pixel, Index c) const {
        return a[pixel * Channels + c] * b[pixel * Channels + c];
    }
};

/// output[sample][c] = scale · Σ over the sample's pixels of term(pixel, c). A thread block works on one sample and
/// `width` adjacent channels, with `thread_rows` pixels at a time.
template <Shape Map, class Term, class S>
struct SampleReduction {
    using ComputeType = Compute<S>;
    static constexpr Index channels = Map.channels;
    static constexpr Index pixels = pixel_count(Map);
    static constexpr int unroll = 8;  // pixels that a thread loads before it adds them, to keep more loads in flight

    /// Whole memory sectors, and few threads without a channel.
    static constexpr int width = [] {
        if (channels <= 32) return static_cast<int>(channels);
        return ceil_div(channels, 16) * 16 < ceil_div(channels, 32) * 32 ? 16 : 32;
    }();
    static constexpr int channel_tiles = static_cast<int>(ceil_div(channels, width));

    /// Enough to read the sample in one unrolled step, within the limits of a thread block.
    static constexpr int threads = static_cast<int>(std::clamp<Index>(
        static_cast<Index>(std::bit_ceil(static_cast<std::uint64_t>(ceil_div(pixels, unroll) * width))), 64, 1024));
    static constexpr int thread_rows = static_cast<int>(std::min<Index>(threads / width, pixels));
    struct Shared {
        ComputeType totals[threads];
    };

    Term term;
    ComputeType scale;
    S* output;

    static Index blocks(Index samples) { return samples * channel_tiles; }

    template <class Block>
    BANTAM_HOST_DEVICE void operator()(const Block& block, Shared& shared) const {
        const SplitIndex<channel_tiles> sample_and_tile{block.index()};
        const Index sample = sample_and_tile.whole, first_channel = sample_and_tile.rest * width;
        const Index first_pixel = sample * pixels;
        block.for_each_thread([&](int thread) {
            const int thread_row = thread / width;
            const Index c = first_channel + thread % width;
            ComputeType sum{};
            if (thread_row < thread_rows && c < channels)
                for (Index pixel = thread_row; pixel < pixels; pixel += unroll * thread_rows) {
                    ComputeType values[unroll];
                    BANTAM_CUDA_UNROLL
                    for (int j = 0; j < unroll; ++j)
                        values[j] = pixel + j * thread_rows < pixels ? term(first_pixel + pixel + j * thread_rows, c)
                                                                     : ComputeType(0);
                    BANTAM_CUDA_UNROLL
                    for (int j = 0; j < unroll; ++j) sum += values[j];
                }
            shared.totals[thread] = sum;
        });
        reduce_thread_rows<1>(block, width, thread_rows, shared.totals);
        block.for_each_thread_nosync([&](int thread) {
            const Index c = first_channel + thread;
            if (thread < width && c < channels) output[sample * channels + c] = S(shared.totals[thread] * scale);
        });
    }
};

}  // namespace detail

/// output[sample][c] = scale · Σ over the sample's pixels of term(pixel, c), with pixels counted over the batch.
template <Shape Map, class S, class Term>
void sum_samples(const Pass<S>& pass, const Term& term, Compute<S> scale, S* output) {
    using Kernel = detail::SampleReduction<Map, Term, S>;
    run_blocks(pass, Kernel::blocks(pass.count), Kernel{term, scale, output});
}

}  // namespace bantam::cuda
