// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
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

/// A batch is divided into at most this many chunks of samples. Sums over samples are kept per chunk and
/// added in a fixed order, so that results do not depend on the number of threads.
inline constexpr Index max_chunks = 16;

/// The context of one forward or backward pass over a batch.
template <class S>
struct Pass {
    Index count = 0;  ///< samples in the batch
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

/// Runs `body(chunk, scratch)` for every chunk of the batch, in parallel. Successive passes over the same
/// maps should alternate `pass.reversed`: the chunks written last are still in the cache.
template <class S, class Body>
void for_each_chunk(const Pass<S>& pass, Body&& body) {
    const Index chunks = chunk_count(pass.count);
    parallel_for(chunks, pass.threads, [&](Index index, int thread) {
        body(chunk_at(pass.count, pass.reversed ? chunks - 1 - index : index),
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

/// Adds `size` partial sums per chunk in chunk order: `total[i] = Σ_chunk partials[chunk·stride + i]`.
/// `total` may be equal to `partials`.
template <class S, class T>
void add_partials(const Pass<S>& pass, const T* partials, Index stride, Index size, T* total) {
    constexpr Index slice = 1024;
    const Index chunks = chunk_count(pass.count);
    parallel_for((size + slice - 1) / slice, pass.threads, [&](Index index, int) {
        const Index end = std::min(size, (index + 1) * slice);
        if (total != partials) std::copy(partials + index * slice, partials + end, total + index * slice);
        for (Index chunk = 1; chunk < chunks; ++chunk)
            for (Index i = index * slice; i < end; ++i) total[i] += partials[chunk * stride + i];
    });
}

}  // namespace bantam::cpu
