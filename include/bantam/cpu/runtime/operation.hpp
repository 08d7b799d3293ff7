// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/core/layer.hpp>
#include <bantam/core/shape.hpp>
#include <bantam/exec/operation.hpp>
#include <bantam/exec/stage_profiler.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>

#ifdef _OPENMP
#include <omp.h>
#endif

namespace bantam::cpu {

using exec::OperationSizes;
using exec::stage_label;
using exec::StageLabel;
using exec::StageProfiler;
using exec::Weights;

/// Work over a batch is cut into at most this many chunks of samples. Sums over samples are kept a
/// chunk and added in order, so that results do not depend on the number of threads.
inline constexpr Index max_chunks = 16;

/// What an operation knows of the pass it runs in.
template <class S>
struct Pass {
    Index count = 0;  ///< samples in the batch
    int threads = 1;
    bool training = false;     ///< batch statistics, dropout; forward keeps what backward needs
    std::uint64_t seed = 0;    ///< randomness of this step
    std::uint64_t stream = 0;  ///< randomness of this layer
    S* scratch = nullptr;      ///< `scratch_stride` scalars a thread
    Index scratch_stride = 0;
    S* partials = nullptr;              ///< `Operation::partial_size` scalars a chunk
    double* sums = nullptr;             ///< `Operation::sum_count` doubles a chunk
    bool from_the_end = false;          ///< the order in which chunks are taken; see `for_each_chunk`
    StageProfiler* profiler = nullptr;  ///< keeps the time of every stage, where somebody asks
};

/// How `L` runs on an `Input` shape; specialize it to give a layer of your own a CPU. Arguments come
/// in one order everywhere: `forward(pass, weights, input, output, saved)` and `backward(pass, weights,
/// input, saved, output_gradient, input_gradient, parameter_gradient)`. Buffers hold `pass.count`
/// samples, NHWC. `backward` writes (does not add to) its gradients; `input_gradient` may be null where
/// nobody asks for it. `input` and `saved` are as forward left them.
template <class L, Shape Input, class S>
struct Operation;

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

namespace detail {

/// Runs `body(index, thread)` for every index below `count` on `threads` threads.
template <class Body>
void parallel_for(Index count, int threads, Body&& body) {
#ifdef _OPENMP
    if (threads > 1 && count > 1) {
// Whoever is free takes the next index; what it computes does not depend on who that is.
#pragma omp parallel for schedule(dynamic) num_threads(threads)
        for (Index index = 0; index < count; ++index) body(index, omp_get_thread_num());
        return;
    }
#endif
    static_cast<void>(threads);
    for (Index index = 0; index < count; ++index) body(index, 0);
}

}  // namespace detail

/// Runs `body(chunk, scratch)` for every chunk of the batch, in parallel. Passes over the same maps do well to
/// alternate between the two orders: what one wrote last is still in the cache where the next begins.
template <class S, class Body>
void for_each_chunk(const Pass<S>& pass, Body&& body) {
    const Index chunks = chunk_count(pass.count);
    detail::parallel_for(chunks, pass.threads, [&](Index index, int thread) {
        body(chunk_at(pass.count, pass.from_the_end ? chunks - 1 - index : index),
             pass.scratch + thread * pass.scratch_stride);
    });
}

/// `pass` with the order in which the `index`-th of several passes takes its chunks.
template <class S>
Pass<S> alternating(const Pass<S>& pass, std::size_t index) {
    Pass<S> own = pass;
    own.from_the_end = index % 2 == 1;
    return own;
}

/// Adds the chunks' `size` partial sums in order: `total[i] = Σ_chunk partials[chunk·stride + i]`;
/// `total` may be the first chunk's partial sums themselves.
template <class S, class T>
void add_partials(const Pass<S>& pass, const T* partials, Index stride, Index size, T* total) {
    constexpr Index block = 1024;
    const Index chunks = chunk_count(pass.count);
    detail::parallel_for((size + block - 1) / block, pass.threads, [&](Index index, int) {
        const Index end = std::min(size, (index + 1) * block);
        if (total != partials) std::copy(partials + index * block, partials + end, total + index * block);
        for (Index chunk = 1; chunk < chunks; ++chunk)
            for (Index i = index * block; i < end; ++i) total[i] += partials[chunk * stride + i];
    });
}

}  // namespace bantam::cpu
