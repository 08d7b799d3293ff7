// SPDX-License-Identifier: MIT
#pragma once

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

/// Terms of a sum over the pixels of a map: its elements, and those of two maps multiplied.
template <Index Channels, class S>
struct MapElement {
    const S* map;
    BANTAM_HOST_DEVICE Compute<S> operator()(Index pixel, Index c) const { return map[pixel * Channels + c]; }
};
template <Index Channels, class S>
struct MapProduct {
    const S *a, *b;
    BANTAM_HOST_DEVICE Compute<S> operator()(Index pixel, Index c) const {
        return a[pixel * Channels + c] * b[pixel * Channels + c];
    }
};

/// output[sample][c] = scale · Σ over the sample's pixels of term(pixel of the batch, c). A block takes a sample
/// times a few neighboring channels, with `lanes` pixels at once.
template <Shape Map, class Term, class S>
struct SumSamples {
    using Number = Compute<S>;
    static constexpr Index channels = Map.channels;
    static constexpr Index pixels = pixel_count(Map);
    static constexpr int at_once = 8;  // pixels that a thread reads before it adds, so that memory is kept busy

    /// Whole sectors of memory, and few threads without a channel.
    static constexpr int width = [] {
        if (channels <= 32) return static_cast<int>(channels);
        return ceil_div(channels, 16) * 16 < ceil_div(channels, 32) * 32 ? 16 : 32;
    }();
    static constexpr int pieces = static_cast<int>(ceil_div(channels, width));

    /// Enough to read a map at once; for large ones what a block can have.
    static constexpr int threads = static_cast<int>(std::clamp<Index>(
        static_cast<Index>(std::bit_ceil(static_cast<std::uint64_t>(ceil_div(pixels, at_once) * width))), 64, 1024));
    static constexpr int lanes = static_cast<int>(std::min<Index>(threads / width, pixels));
    struct Shared {
        Number totals[threads];
    };

    Term term;
    Number scale;
    S* output;

    static Index blocks(Index samples) { return samples * pieces; }

    template <class Block>
    BANTAM_HOST_DEVICE void operator()(const Block& block, Shared& shared) const {
        const SplitIndex<pieces> place{block.index()};
        const Index first_pixel = place.whole * pixels, first_channel = place.rest * width;
        block.for_each_thread([&](int thread) {
            const int lane = thread / width;
            const Index c = first_channel + thread % width;
            Number sum{};
            if (lane < lanes && c < channels)
                for (Index pixel = lane; pixel < pixels; pixel += at_once * lanes) {
                    Number given[at_once];
                    BANTAM_CUDA_UNROLL
                    for (int j = 0; j < at_once; ++j)
                        given[j] = pixel + j * lanes < pixels ? term(first_pixel + pixel + j * lanes, c) : Number(0);
                    BANTAM_CUDA_UNROLL
                    for (int j = 0; j < at_once; ++j) sum += given[j];
                }
            shared.totals[thread] = sum;
        });
        join_lanes<1>(block, width, lanes, shared.totals);
        block.for_each_thread_alone([&](int thread) {
            const Index c = first_channel + thread;
            if (thread < width && c < channels) output[place.whole * channels + c] = S(shared.totals[thread] * scale);
        });
    }
};

/// The same with one thread an element.
template <Shape Map, class Term, class S>
struct SumOfSample {
    Term term;
    Compute<S> scale;
    S* output;
    BANTAM_HOST_DEVICE void operator()(Index i) const {
        constexpr Index pixels = pixel_count(Map);
        const SplitIndex<Map.channels> place{i};
        Compute<S> sum{};
        for (Index pixel = 0; pixel < pixels; ++pixel) sum += term(place.whole * pixels + pixel, place.rest);
        output[i] = S(sum * scale);
    }
};

}  // namespace detail

/// output[sample][c] = scale · Σ over the sample's pixels of term(pixel of the batch, c).
template <Shape Map, class S, class Term>
void sum_samples(const Pass<S>& pass, const Term& term, Compute<S> scale, S* output) {
    using Kernel = detail::SumSamples<Map, Term, S>;
    run_blocks(pass, Kernel::blocks(pass.count), Kernel{term, scale, output});
}

/// The same with one thread an element, in another order: what blocks are held against.
template <Shape Map, class S, class Term>
void sum_samples_by_element(const Pass<S>& pass, const Term& term, Compute<S> scale, S* output) {
    for_each_index(pass, pass.count * Map.channels, detail::SumOfSample<Map, Term, S>{term, scale, output});
}

}  // namespace bantam::cuda
