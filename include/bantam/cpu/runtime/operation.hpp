// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/chunk.hpp>
#include <bantam/base/communicator.hpp>
#include <bantam/base/index.hpp>
#include <bantam/base/overlapped_sums.hpp>
#include <bantam/base/parallel_for.hpp>
#include <bantam/core/layer.hpp>
#include <bantam/core/shape.hpp>
#include <bantam/exec/missing_operation.hpp>
#include <bantam/exec/operation.hpp>
#include <bantam/exec/stage_profiler.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace bantam::cpu {

using exec::StageLabel;
using exec::StageProfiler;

/// The tensors of an operation.
template <class S>
struct Weights {
    const S* parameters = nullptr;  ///< trainable, in the order of the layer's tensor list
    S* statistics = nullptr;        ///< not trainable, likewise
    const S* packed = nullptr;      ///< written by `prepare` from the parameters

    Weights at(const exec::TensorOffsets& offsets) const {
        return {parameters + offsets.trainable, statistics + offsets.non_trainable, packed + offsets.packed};
    }
};

/// The sizes that an operation states, with the defaults of one that needs no memory.
struct OperationSizes : exec::OperationSizes {
    static constexpr Index packed_size = 0;  ///< scalars that `prepare` writes

    template <class S>
    static void prepare(const S* /*parameters*/, S* /*packed*/) {}
};

/// The context of one forward or backward pass over a batch.
template <class S>
struct Pass {
    Index count = 0;  ///< samples of the batch that this process computes
    int threads = 1;
    bool training = false;     ///< batch statistics and dropout; forward saves what backward needs
    std::uint64_t seed = 0;    ///< random seed of this training step
    std::uint64_t stream = 0;  ///< random stream of this layer
    S* scratch = nullptr;      ///< `scratch_stride` scalars per thread
    Index scratch_stride = 0;
    S* partials = nullptr;              ///< `Operation::partial_size` scalars per chunk
    double* sums = nullptr;             ///< `Operation::sum_count` doubles per chunk
    bool reversed = false;              ///< `for_each_chunk` starts with the last chunk
    StageProfiler* profiler = nullptr;  ///< records the time of each stage; may be null

    /// Where several ranks compute one batch: how they exchange sums, and which part of the batch is this rank's. Null:
    /// this process computes the whole batch.
    Communicator* communicator = nullptr;
    /// What exchanges gradients while the backward pass computes; null: each when it is computed.
    OverlappedSums<S>* gradient_sums = nullptr;
    Index samples_of_ranks = 0;   ///< samples in the whole batch
    Index samples_before = 0;     ///< those of the ranks before this one
    bool norms_per_rank = false;  ///< batch norms have the statistics of this rank's samples

    /// Samples in the whole batch, those of all ranks: what a mean over the batch is divided by.
    Index batch() const { return communicator ? samples_of_ranks : count; }
    /// Those that a batch norm has the statistics of.
    Index norm_samples() const { return norms_per_rank ? count : batch(); }
};

/// The backend's name in error messages.
struct BackendName {
    static constexpr std::string_view name = "cpu";
};

/// The CPU implementation of layer `L` on an `Input` shape; specialize it for a layer of your own. It has
/// `forward(pass, weights, input, output, saved)` and `backward(pass, weights, input, saved,
/// output_gradient, input_gradient, parameter_gradient)`. Buffers hold `pass.count` samples, NHWC.
/// `backward` gets `input` and `saved` as forward left them and overwrites its gradients;
/// `input_gradient` is null if it is not needed; an operation that hands it on to others takes its type as a template
/// parameter (exec::inner_gradient).
template <class L, Shape Input, class S>
struct Operation : exec::MissingOperation<L, BackendName> {
    static void prepare(const S*, S*) {}
};

/// Runs `body(chunk, scratch)` for every chunk of the batch that this process computes, in parallel. Successive passes
/// over the same maps should alternate `pass.reversed`: the chunks written last are still in the cache.
template <class S, class Body>
void for_each_chunk(const Pass<S>& pass, Body&& body) {
    IndexRange own{0, chunk_count(pass.batch())};
    if (pass.communicator) own = chunks_of_rank(own.end, pass.communicator->rank());
    parallel_for(own.count(), pass.threads, [&](Index index, int thread) {
        const Index position = pass.reversed ? own.count() - 1 - index : index;
        const Chunk chunk = chunk_at(pass.batch(), own.begin + position);
        body(Chunk{position, chunk.first - pass.samples_before, chunk.count},
             pass.scratch + thread * pass.scratch_stride);
    });
}

/// `pass` with the chunk order of the `index`-th of several successive passes.
template <class S>
Pass<S> alternating(const Pass<S>& pass, std::size_t index) {
    Pass<S> result = pass;
    result.reversed = index % 2 == 1;
    return result;
}

namespace detail {

/// Adds the sums of this process's chunks.
template <class S, class T>
void add_own_partials(const Pass<S>& pass, Index chunks, const T* partials, Index stride, Index size, T* total) {
    constexpr Index slice = 1024;
    parallel_for((size + slice - 1) / slice, pass.threads, [&](Index index, int) {
        const Index end = std::min(size, (index + 1) * slice);
        if (total != partials) std::copy(partials + index * slice, partials + end, total + index * slice);
        for (Index chunk = 1; chunk < chunks; ++chunk)
            for (Index i = index * slice; i < end; ++i) total[i] += partials[chunk * stride + i];
    });
}

}  // namespace detail

/// Adds `size` partial sums per chunk in chunk order, those of all ranks: `total[i] = Σ_chunk partials[chunk·stride +
/// i]`. `total` may be equal to `partials`.
template <class S, class T>
void add_partials(const Pass<S>& pass, const T* partials, Index stride, Index size, T* total) {
    if (pass.communicator)
        return sum_in_order(*pass.communicator, chunk_count(pass.batch()), partials, stride, size, total);
    detail::add_own_partials(pass, chunk_count(pass.count), partials, stride, size, total);
}

/// The same for the gradient of a layer's parameters: the sums of pass.partials[chunk · size + i]. `store(sums, size,
/// parameter_gradient)` writes them; null copies them. Ranks may exchange them until the backward pass has ended, so
/// that nothing within it may read the gradient.
template <class S>
void add_gradient_partials(const Pass<S>& pass, Index size, S* parameter_gradient,
                           typename OverlappedSums<S>::Store store = nullptr) {
    if (pass.gradient_sums)
        return pass.gradient_sums->add(chunk_count(pass.batch()), pass.partials, size, store, parameter_gradient);
    S* const total = store ? pass.partials : parameter_gradient;
    add_partials(pass, pass.partials, size, size, total);
    if (store) store(total, size, parameter_gradient);
}

/// The same for the sums of a batch norm, in place: those of all ranks, or of this one where its norms are its own.
template <class S>
void add_norm_partials(const Pass<S>& pass, Index stride, Index size) {
    if (!pass.norms_per_rank) return add_partials(pass, pass.sums, stride, size, pass.sums);
    const Index chunks = chunks_of_rank(chunk_count(pass.batch()), pass.communicator->rank()).count();
    detail::add_own_partials(pass, chunks, pass.sums, stride, size, pass.sums);
}

}  // namespace bantam::cpu
