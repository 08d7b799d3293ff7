// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/cpu/runtime/operation.hpp>
#include <bantam/cpu/runtime/packet.hpp>
#include <bantam/exec/concepts.hpp>
#include <bantam/exec/fusion.hpp>
#include <bantam/exec/stage_profiler.hpp>

namespace bantam::cpu {

template <class S, bool Pooled, class... Blocks>
struct FusedConvBlocks;
template <class Act, Shape Input, class S>
struct BatchNormOperation;

/// The CPU for exec/: its operations, and the passes over the batch that composite layers make. `Fused` says whether
/// neighboring layers are fused, inside composites, too.
template <bool Fused = true>
struct Backend {
    static constexpr bool fused = Fused;
    template <class L, Shape Input, class S>
    using Operation = cpu::Operation<L, Input, S>;
    template <class S, bool Pooled, class... Blocks>
    using FusedConvBlocks = cpu::FusedConvBlocks<S, Pooled, Blocks...>;
    template <class Act, Shape Input, class S>
    using NormAct = BatchNormOperation<Act, Input, S>;
    template <class L, Shape Input, class S>
    using Chain = typename exec::ChainOf<Backend, L, Input, S>::type;
    template <class S>
    using Pass = cpu::Pass<S>;
    template <class S>
    using Weights = cpu::Weights<S>;

    /// Runs one stage's forward or backward under its label.
    template <class S, class Step>
    static void run_stage(const cpu::Pass<S>& pass, const StageLabel& label, Step&& step) {
        const StageProfiler::Scope timed{pass.profiler, label};
        step();
    }

    /// to = base + from · scale for `pixels` positions per sample. `base`, which may be `to`, and `scale`, one scalar
    /// per channel, may be null.
    template <Index Channels, class S>
    static void add_scaled(const cpu::Pass<S>& pass, Index pixels, const S* base, const S* from, const S* scale,
                           S* to) {
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
    static void sum_of_products(const cpu::Pass<S>& pass, Index pixels, const S* a, const S* b, S* sums) {
        for_each_chunk(pass, [&](Chunk chunk, S*) {
            for_each_packet<S, Channels>([&]<int Width>(Index c) {
                Packet<S, Width> sum = Packet<S, Width>::Zero();
                for (Index row = chunk.first * pixels; row < (chunk.first + chunk.count) * pixels; ++row)
                    sum +=
                        load_packet<S, Width>(a + row * Channels + c) * load_packet<S, Width>(b + row * Channels + c);
                store_packet<S, Width>(pass.partials + chunk.index * Channels + c, sum);
            });
        });
        add_gradient_partials(pass, Channels, sums);
    }

    /// Copies `Channels` scalars of each of `pixels` positions per sample, between maps with `from_stride` and
    /// `to_stride` scalars per position.
    template <Index Channels, class S>
    static void copy_channels(const cpu::Pass<S>& pass, Index pixels, const S* from, Index from_stride, S* to,
                              Index to_stride) {
        for_each_row(pass, pixels, [&](Index row) {
            for_each_vector<S, Channels>([&](Index c, auto fetch, auto put) {
                put(to + row * to_stride + c, fetch(from + row * from_stride + c));
            });
        });
    }

    /// to += from, `count` scalars in all.
    template <class S>
    static void add_gradients(const cpu::Pass<S>& pass, Index count, const S* from, S* to) {
        if (pass.gradient_sums) pass.gradient_sums->complete();  // the ranks may still exchange them
        for_each_packet<S>(count, [&]<int Width>(Index i) {
            store_packet<S, Width>(to + i, load_packet<S, Width>(to + i) + load_packet<S, Width>(from + i));
        });
    }

    /// Adds `elements` scalars per sample, times `factor`, to `to`; writes them where `first`.
    template <class S>
    static void accumulate(const cpu::Pass<S>& pass, bool first, S factor, Index elements, const S* from, S* to) {
        for_each_chunk(pass, [&](Chunk chunk, S*) {
            const Index begin = chunk.first * elements;
            for_each_packet<S>(chunk.count * elements, [&]<int Width>(Index i) {
                Packet<S, Width> sum = load_packet<S, Width>(from + begin + i) * factor;
                if (!first) sum += load_packet<S, Width>(to + begin + i);
                store_packet<S, Width>(to + begin + i, sum);
            });
        });
    }

    /// to = from · gate[sample][channel] + base; `base` may be null.
    template <Shape Map, class S>
    static void multiply_gate(const cpu::Pass<S>& pass, const S* from, const S* gate, const S* base, S* to) {
        for_each_row(pass, pixel_count(Map), [&](Index row) {
            const S* sample_gate = gate + row / pixel_count(Map) * Map.channels;
            for_each_packet<S, Map.channels>([&]<int Width>(Index c) {
                const Index i = row * Map.channels + c;
                Packet<S, Width> value = load_packet<S, Width>(from + i) * load_packet<S, Width>(sample_gate + c);
                if (base) value += load_packet<S, Width>(base + i);
                store_packet<S, Width>(to + i, value);
            });
        });
    }

    /// gradient[sample][channel] = Σ over positions of output_gradient · input.
    template <Shape Map, class S>
    static void gate_gradient(const cpu::Pass<S>& pass, const S* output_gradient, const S* input, S* gradient) {
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
    /// Calls `body(row)` for every position of the batch, `pixels` per sample.
    template <class S, class Body>
    static void for_each_row(const cpu::Pass<S>& pass, Index pixels, Body&& body) {
        for_each_chunk(pass, [&](Chunk chunk, S*) {
            for (Index row = chunk.first * pixels; row < (chunk.first + chunk.count) * pixels; ++row) body(row);
        });
    }
};

static_assert(exec::Backend<Backend<>, float> && exec::Backend<Backend<false>, double>);

}  // namespace bantam::cpu
