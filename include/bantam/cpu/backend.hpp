// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/cpu/runtime/operation.hpp>
#include <bantam/cpu/runtime/packet.hpp>

#include <algorithm>

namespace bantam::cpu {

template <class L, Shape Input, class S, bool Fused>
struct ChainOf;
template <class S, bool Pooled, class... Stages>
struct FusedConvBlocks;
template <class Act, Shape Input, class S>
struct BatchNormOperation;

/// The CPU as what runs composite layers (see exec/chain.hpp): its operations, and the passes
/// over the batch that composites make themselves.
struct Backend {
    template <class L, Shape Input, class S>
    using Operation = cpu::Operation<L, Input, S>;
    template <class S, bool Pooled, class... Stages>
    using Run = FusedConvBlocks<S, Pooled, Stages...>;
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
    template <Index Channels, class S>
    static void add_scaled(const Pass<S>& pass, Index pixels, const S* base, const S* from, const S* scale, S* to) {
        for_each_row(pass, pixels, [&](Index row) {
            for_each_packet<S, Channels>([&]<int Width>(Index c) {
                const Index i = row * Channels + c;
                Packet<S, Width> value = load_packet<S, Width>(from + i);
                if (scale) value *= load_packet<S, Width>(scale + c);
                if (base) value += load_packet<S, Width>(base + i);
                store_packet<S, Width>(to + i, value);
            });
        });
    }

    /// sums[c] = Σ over samples and positions of a · b.
    template <Index Channels, class S>
    static void sum_of_products(const Pass<S>& pass, Index pixels, const S* a, const S* b, S* sums) {
        for_each_chunk(pass, [&](Chunk chunk, S*) {
            for_each_packet<S, Channels>([&]<int Width>(Index c) {
                Packet<S, Width> sum = Packet<S, Width>::Zero();
                for (Index row = chunk.first * pixels; row < (chunk.first + chunk.count) * pixels; ++row)
                    sum +=
                        load_packet<S, Width>(a + row * Channels + c) * load_packet<S, Width>(b + row * Channels + c);
                store_packet<S, Width>(pass.partials + chunk.index * Channels + c, sum);
            });
        });
        add_partials(pass, pass.partials, Channels, Channels, sums);
    }

    /// Copies `pixels` positions a sample, `Channels` scalars each, between maps whose positions lie
    /// `from_stride` and `to_stride` scalars apart.
    template <Index Channels, class S>
    static void copy_channels(const Pass<S>& pass, Index pixels, const S* from, Index from_stride, S* to,
                              Index to_stride) {
        for_each_row(pass, pixels, [&](Index row) {
            for_each_vector<S, Channels>([&](Index c, auto fetch, auto put) {
                put(to + row * to_stride + c, fetch(from + row * from_stride + c));
            });
        });
    }

    /// Adds (or, for the first of a sum, writes) `elements` scalars a sample, times `factor`.
    template <class S>
    static void accumulate(const Pass<S>& pass, bool first, S factor, Index elements, const S* from, S* to) {
        for_each_chunk(pass, [&](Chunk chunk, S*) {
            const Index begin = chunk.first * elements;
            for_each_packet<S>(chunk.count * elements, [&]<int Width>(Index i) {
                Packet<S, Width> sum = load_packet<S, Width>(from + begin + i) * factor;
                if (!first) sum += load_packet<S, Width>(to + begin + i);
                store_packet<S, Width>(to + begin + i, sum);
            });
        });
    }

    /// to = from · gate [sample][channel] + base, which may be null.
    template <Shape Map, class S>
    static void multiply_gate(const Pass<S>& pass, const S* from, const S* gate, const S* base, S* to) {
        for_each_row(pass, pixel_count(Map), [&](Index row) {
            const S* own_gate = gate + row / pixel_count(Map) * Map.channels;
            for_each_packet<S, Map.channels>([&]<int Width>(Index c) {
                const Index i = row * Map.channels + c;
                Packet<S, Width> value = load_packet<S, Width>(from + i) * load_packet<S, Width>(own_gate + c);
                if (base) value += load_packet<S, Width>(base + i);
                store_packet<S, Width>(to + i, value);
            });
        });
    }

    /// gradient [sample][channel] = Σ over positions of output_gradient · input.
    template <Shape Map, class S>
    static void gate_gradient(const Pass<S>& pass, const S* output_gradient, const S* input, S* gradient) {
        for_each_chunk(pass, [&](Chunk chunk, S*) {
            for (Index n = chunk.first; n < chunk.first + chunk.count; ++n)
                for_each_packet<S, Map.channels>([&]<int Width>(Index c) {
                    Packet<S, Width> sum = Packet<S, Width>::Zero();
                    for (Index row = n * pixel_count(Map); row < (n + 1) * pixel_count(Map); ++row) {
                        const Index i = row * Map.channels + c;
                        sum += load_packet<S, Width>(output_gradient + i) * load_packet<S, Width>(input + i);
                    }
                    store_packet<S, Width>(gradient + n * Map.channels + c, sum);
                });
        });
    }

private:
    /// `body(row)` for every position of the batch, `pixels` a sample.
    template <class S, class Body>
    static void for_each_row(const Pass<S>& pass, Index pixels, Body&& body) {
        for_each_chunk(pass, [&](Chunk chunk, S*) {
            for (Index row = chunk.first * pixels; row < (chunk.first + chunk.count) * pixels; ++row) body(row);
        });
    }
};

}  // namespace bantam::cpu
