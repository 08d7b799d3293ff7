// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/error.hpp>
#include <bantam/base/index.hpp>
#include <bantam/base/split_index.hpp>
#include <bantam/core/shape_text.hpp>
#include <bantam/cuda/kernels/sample_reduction.hpp>
#include <bantam/cuda/runtime/operation.hpp>
#include <bantam/exec/concepts.hpp>
#include <bantam/exec/fusion.hpp>
#include <bantam/exec/stage_label.hpp>

#include <string>

namespace bantam::cuda {

template <class S, bool Pooled, class... Blocks>
struct FusedConvBlocks;
template <class Act, Shape Input, class S>
struct BatchNormOperation;

namespace detail {

/// to = base + from · scale[channel]; `base` and `scale` may be null.
template <Index Channels, class S>
struct AddScaled {
    const S *base, *from;
    const Compute<S>* scale;
    S* to;
    BANTAM_HOST_DEVICE void operator()(Index i) const {
        Compute<S> value = from[i];
        if (scale) value *= scale[SplitIndex<Channels>{i}.rest];
        if (base) value += base[i];
        to[i] = S(value);
    }
};
/// `Channels` scalars of every position, between maps with `from_stride` and `to_stride` scalars per position.
template <Index Channels, class S>
struct CopyChannels {
    const S* from;
    Index from_stride;
    S* to;
    Index to_stride;
    BANTAM_HOST_DEVICE void operator()(Index i) const {
        const SplitIndex<Channels> at{i};
        to[at.whole * to_stride + at.rest] = from[at.whole * from_stride + at.rest];
    }
};
/// to += from · factor, or to = from · factor where `first`.
template <class S>
struct Accumulate {
    const S* from;
    Compute<S> factor;
    bool first;
    S* to;
    BANTAM_HOST_DEVICE void operator()(Index i) const {
        to[i] = S(first ? from[i] * factor : to[i] + from[i] * factor);
    }
};
/// to = from · gate[sample][channel] + base; `base` may be null.
template <Shape Map, class S>
struct MultiplyGate {
    static constexpr Index elements = element_count(Map);
    const S *from, *gate, *base;
    S* to;
    BANTAM_HOST_DEVICE void operator()(Index i) const {
        const SplitIndex<elements> in_batch{i};
        const SplitIndex<Map.channels> in_sample{in_batch.rest};
        const Compute<S> value = from[i] * gate[in_batch.whole * Map.channels + in_sample.rest];
        to[i] = S(base ? value + base[i] : value);
    }
};

}  // namespace detail

/// The GPU for exec/; the passes are those of `cpu::Backend`.
template <bool Fused = true>
struct Backend {
    static constexpr bool fused = Fused;
    template <class L, Shape Input, class S>
    using Operation = cuda::Operation<L, Input, S>;
    template <class S, bool Pooled, class... Blocks>
    using FusedConvBlocks = cuda::FusedConvBlocks<S, Pooled, Blocks...>;
    template <class Act, Shape Input, class S>
    using NormAct = BatchNormOperation<Act, Input, S>;
    template <class L, Shape Input, class S>
    using Chain = typename exec::ChainOf<Backend, L, Input, S>::type;
    template <class S>
    using Pass = cuda::Pass<S>;
    template <class S>
    using Weights = cuda::Weights<S>;

    /// Runs one stage's forward or backward and adds the layer to errors. Kernels run asynchronously, so an error may
    /// be reported at a later layer; with CUDA_LAUNCH_BLOCKING=1 it is reported at once.
    template <class S, class Step>
    static void run_stage(const cuda::Pass<S>&, const exec::StageLabel& label, Step&& step) {
        try {
            step();
        } catch (const Error& error) {
            throw Error(std::string(label.name) + (label.backward ? ", backward, on " : " on ") +
                        std::string(shape_text(label.input).view()) + ": " + error.what());
        }
    }

    template <Index Channels, class S>
    static void add_scaled(const cuda::Pass<S>& pass, Index pixels, const S* base, const S* from,
                           const Compute<S>* scale, S* to) {
        for_each_index(pass, pass.count * pixels * Channels, detail::AddScaled<Channels, S>{base, from, scale, to});
    }
    template <Index Channels, class S>
    static void sum_of_products(const cuda::Pass<S>& pass, Index pixels, const S* a, const S* b, Compute<S>* sums) {
        sum_over_rows(pass, pass.count * pixels, Channels, detail::MapProduct<Channels, S>{a, b}, pass.partials, sums);
    }
    template <Index Channels, class S>
    static void copy_channels(const cuda::Pass<S>& pass, Index pixels, const S* from, Index from_stride, S* to,
                              Index to_stride) {
        for_each_index(pass, pass.count * pixels * Channels,
                       detail::CopyChannels<Channels, S>{from, from_stride, to, to_stride});
    }
    template <class S>
    static void add_gradients(const cuda::Pass<S>& pass, Index count, const Compute<S>* from, Compute<S>* to) {
        for_each_index(pass, count, detail::Accumulate<Compute<S>>{from, Compute<S>(1), false, to});
    }
    template <class S>
    static void accumulate(const cuda::Pass<S>& pass, bool first, Compute<S> factor, Index elements, const S* from,
                           S* to) {
        for_each_index(pass, pass.count * elements, detail::Accumulate<S>{from, factor, first, to});
    }
    template <Shape Map, class S>
    static void multiply_gate(const cuda::Pass<S>& pass, const S* from, const S* gate, const S* base, S* to) {
        for_each_index(pass, pass.count * element_count(Map), detail::MultiplyGate<Map, S>{from, gate, base, to});
    }
    template <Shape Map, class S>
    static void gate_gradient(const cuda::Pass<S>& pass, const S* output_gradient, const S* input, S* gradient) {
        sum_samples<Map>(pass, detail::MapProduct<Map.channels, S>{output_gradient, input}, Compute<S>(1), gradient);
    }
};

static_assert(exec::Backend<Backend<>, float> && exec::Backend<Backend<false>, Bfloat16>);

}  // namespace bantam::cuda
