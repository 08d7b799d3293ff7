// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/core/shape.hpp>
#include <bantam/cuda/operation.hpp>
#include <bantam/cuda/rows.hpp>
#include <bantam/cuda/split_index.hpp>

#include <algorithm>
#include <bit>
#include <cstdint>

namespace bantam::cuda {

namespace detail {

/// Terms of a sum over the pixels of a map: its elements, and those of two maps multiplied.
template <std::int64_t Channels, class S>
struct MapElement {
    const S* map;
    BANTAM_HOST_DEVICE Arithmetic<S> operator()(std::int64_t pixel, std::int64_t c) const {
        return map[pixel * Channels + c];
    }
};
template <std::int64_t Channels, class S>
struct MapProduct {
    const S *a, *b;
    BANTAM_HOST_DEVICE Arithmetic<S> operator()(std::int64_t pixel, std::int64_t c) const {
        return a[pixel * Channels + c] * b[pixel * Channels + c];
    }
};

/// output[sample][c] = scale · Σ over the sample's pixels of term(pixel of the batch, c). A block takes a sample
/// times a few neighbouring channels, with `lanes` pixels at once.
template <Shape Map, class Term, class S>
struct SumSamples {
    using Number = Arithmetic<S>;
    static constexpr std::int64_t channels = Map.channels;
    static constexpr std::int64_t pixels = pixel_count(Map);
    static constexpr int at_once = 8;  // pixels that a thread reads before it adds, so that memory is kept busy

    /// Whole sectors of memory, and few threads without a channel.
    static constexpr int width = [] {
        if (channels <= 32) return static_cast<int>(channels);
        return piece_count(channels, 16) * 16 < piece_count(channels, 32) * 32 ? 16 : 32;
    }();
    static constexpr int pieces = static_cast<int>(piece_count(channels, width));

    /// Enough to read a map at once; for large ones what a block can have.
    static constexpr int threads = static_cast<int>(
        std::clamp<std::int64_t>(static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(
                                     piece_count(pixels, at_once) * width))),
                                 64, 1024));
    static constexpr int lanes = static_cast<int>(std::min<std::int64_t>(threads / width, pixels));
    struct Shared {
        Number totals[threads];
    };

    Term term;
    Number scale;
    S* output;

    static std::int64_t blocks(std::int64_t samples) { return samples * pieces; }

    template <class Block>
    BANTAM_HOST_DEVICE void operator()(const Block& block, Shared& shared) const {
        const SplitIndex<pieces> place{block.index()};
        const std::int64_t first_pixel = place.whole * pixels, first_channel = place.rest * width;
        block.for_each_thread([&](int thread) {
            const int lane = thread / width;
            const std::int64_t c = first_channel + thread % width;
            Number sum{};
            if (lane < lanes && c < channels)
                for (std::int64_t pixel = lane; pixel < pixels; pixel += at_once * lanes) {
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
            const std::int64_t c = first_channel + thread;
            if (thread < width && c < channels) output[place.whole * channels + c] = S(shared.totals[thread] * scale);
        });
    }
};

/// The same with one thread an element.
template <Shape Map, class Term, class S>
struct SumOfSample {
    Term term;
    Arithmetic<S> scale;
    S* output;
    BANTAM_HOST_DEVICE void operator()(std::int64_t i) const {
        constexpr std::int64_t pixels = pixel_count(Map);
        const SplitIndex<Map.channels> place{i};
        Arithmetic<S> sum{};
        for (std::int64_t pixel = 0; pixel < pixels; ++pixel) sum += term(place.whole * pixels + pixel, place.rest);
        output[i] = S(sum * scale);
    }
};

}  // namespace detail

/// output[sample][c] = scale · Σ over the sample's pixels of term(pixel of the batch, c).
template <Shape Map, class S, class Term>
void sum_samples(const Pass<S>& pass, const Term& term, Arithmetic<S> scale, S* output) {
    using Kernel = detail::SumSamples<Map, Term, S>;
    run_blocks(pass, Kernel::blocks(pass.count), Kernel{term, scale, output});
}

/// The same with one thread an element, in another order: what blocks are held against.
template <Shape Map, class S, class Term>
void sum_samples_by_element(const Pass<S>& pass, const Term& term, Arithmetic<S> scale, S* output) {
    for_each_index(pass, pass.count * Map.channels, detail::SumOfSample<Map, Term, S>{term, scale, output});
}

}  // namespace bantam::cuda
