// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/cpu/block.hpp>
#include <bantam/cpu/operation.hpp>

#include <algorithm>
#include <cstdint>

namespace bantam::cpu {

template <class L, Shape Input, class S, bool Fused>
struct ChainOf;
template <class S, bool Pooled, class... Stages>
struct FusedRun;
template <class Act, Shape Input, class S>
struct BatchNormOperation;

/// The CPU as what runs composite layers (see device/stage_chain.hpp): its operations, and the passes
/// over the batch that composites make themselves.
struct Backend {
    template <class L, Shape Input, class S>
    using Operation = cpu::Operation<L, Input, S>;
    template <class S, bool Pooled, class... Stages>
    using Run = FusedRun<S, Pooled, Stages...>;
    template <class Act, Shape Input, class S>
    using Norm = BatchNormOperation<Act, Input, S>;
    template <class L, Shape Input, class S>
    using Chain = typename ChainOf<L, Input, S, true>::type;
    template <class S>
    using Pass = cpu::Pass<S>;

    template <class Step>
    static void run_stage(const StageLabel&, Step&& step) {
        step();
    }

    /// to = base + from · scale for `pixels` positions a sample; `base` (which may be `to`) and the
    /// `scale` a channel may be null.
    template <std::int64_t Channels, class S>
    static void add_scaled(const Pass<S>& pass, std::int64_t pixels, const S* base, const S* from, const S* scale,
                           S* to) {
        for_each_row(pass, pixels, [&](std::int64_t row) {
            for_each_block<S, Channels>([&]<int Width>(std::int64_t c) {
                const std::int64_t i = row * Channels + c;
                Block<S, Width> value = load_block<S, Width>(from + i);
                if (scale) value *= load_block<S, Width>(scale + c);
                if (base) value += load_block<S, Width>(base + i);
                store_block<S, Width>(to + i, value);
            });
        });
    }

    /// sums[c] = Σ over samples and positions of a · b.
    template <std::int64_t Channels, class S>
    static void sum_of_products(const Pass<S>& pass, std::int64_t pixels, const S* a, const S* b, S* sums) {
        for_each_chunk(pass, [&](Chunk chunk, S*) {
            for_each_block<S, Channels>([&]<int Width>(std::int64_t c) {
                Block<S, Width> sum = Block<S, Width>::Zero();
                for (std::int64_t row = chunk.first * pixels; row < (chunk.first + chunk.count) * pixels; ++row)
                    sum += load_block<S, Width>(a + row * Channels + c) * load_block<S, Width>(b + row * Channels + c);
                store_block<S, Width>(pass.partials + chunk.index * Channels + c, sum);
            });
        });
        add_partials(pass, pass.partials, Channels, Channels, sums);
    }

    /// Copies `pixels` positions a sample, `Channels` scalars each, between maps whose positions lie
    /// `from_stride` and `to_stride` scalars apart.
    template <std::int64_t Channels, class S>
    static void copy_channels(const Pass<S>& pass, std::int64_t pixels, const S* from, std::int64_t from_stride,
                              S* to, std::int64_t to_stride) {
        for_each_row(pass, pixels, [&](std::int64_t row) {
            for_each_vector<S, Channels>([&](std::int64_t c, auto fetch, auto put) {
                put(to + row * to_stride + c, fetch(from + row * from_stride + c));
            });
        });
    }

    /// Adds (or, for the first of a sum, writes) `elements` scalars a sample, times `factor`.
    template <class S>
    static void accumulate(const Pass<S>& pass, bool first, S factor, std::int64_t elements, const S* from, S* to) {
        for_each_chunk(pass, [&](Chunk chunk, S*) {
            const std::int64_t begin = chunk.first * elements;
            for_each_block<S>(chunk.count * elements, [&]<int Width>(std::int64_t i) {
                Block<S, Width> sum = load_block<S, Width>(from + begin + i) * factor;
                if (!first) sum += load_block<S, Width>(to + begin + i);
                store_block<S, Width>(to + begin + i, sum);
            });
        });
    }

    /// to = from · gate [sample][channel] + base, which may be null.
    template <Shape Map, class S>
    static void multiply_gate(const Pass<S>& pass, const S* from, const S* gate, const S* base, S* to) {
        for_each_row(pass, pixel_count(Map), [&](std::int64_t row) {
            const S* own_gate = gate + row / pixel_count(Map) * Map.channels;
            for_each_block<S, Map.channels>([&]<int Width>(std::int64_t c) {
                const std::int64_t i = row * Map.channels + c;
                Block<S, Width> value = load_block<S, Width>(from + i) * load_block<S, Width>(own_gate + c);
                if (base) value += load_block<S, Width>(base + i);
                store_block<S, Width>(to + i, value);
            });
        });
    }

    /// gradient [sample][channel] = Σ over positions of output_gradient · input.
    template <Shape Map, class S>
    static void gate_gradient(const Pass<S>& pass, const S* output_gradient, const S* input, S* gradient) {
        for_each_chunk(pass, [&](Chunk chunk, S*) {
            for (std::int64_t n = chunk.first; n < chunk.first + chunk.count; ++n)
                for_each_block<S, Map.channels>([&]<int Width>(std::int64_t c) {
                    Block<S, Width> sum = Block<S, Width>::Zero();
                    for (std::int64_t row = n * pixel_count(Map); row < (n + 1) * pixel_count(Map); ++row) {
                        const std::int64_t i = row * Map.channels + c;
                        sum += load_block<S, Width>(output_gradient + i) * load_block<S, Width>(input + i);
                    }
                    store_block<S, Width>(gradient + n * Map.channels + c, sum);
                });
        });
    }

private:
    /// `body(row)` for every position of the batch, `pixels` a sample.
    template <class S, class Body>
    static void for_each_row(const Pass<S>& pass, std::int64_t pixels, Body&& body) {
        for_each_chunk(pass, [&](Chunk chunk, S*) {
            for (std::int64_t row = chunk.first * pixels; row < (chunk.first + chunk.count) * pixels; ++row) body(row);
        });
    }
};

}  // namespace bantam::cpu
