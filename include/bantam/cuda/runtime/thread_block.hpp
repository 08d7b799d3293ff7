// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/host_device.hpp>
#include <bantam/base/index.hpp>
#include <bantam/cuda/runtime/execution.hpp>

#include <algorithm>
#include <cstddef>
#include <type_traits>

namespace bantam::cuda {

// A kernel that needs shared memory is a functor
//
//     struct Kernel {
//         static constexpr int threads = 256;
//         struct Shared { float values[256]; };
//         template <class Block>
//         BANTAM_HOST_DEVICE void operator()(const Block& block, Shared& shared) const;
//     };
//
// (and `min_blocks_per_multiprocessor` where several blocks must fit a multiprocessor, since they wait for memory),
//
// which is called once a block and written as phases, `block.for_each_thread([&](int thread) { ... })`. All
// threads are through with a phase before the next one begins; within a phase they run in no order. On a
// GPU a phase is a thread's work and a barrier, on the host a loop over the threads. `for_each_warp` is the same for
// what a warp does as one. Work that touches nothing of other threads needs no barrier:
// `block.for_each_thread_alone(...)`.

// Loops over what a thread holds in registers must be unrolled: registers cannot be indexed. Others that the compiler
// would unroll into more registers than there are must not.
#ifdef __CUDA_ARCH__
#define BANTAM_CUDA_UNROLL _Pragma("unroll")
#define BANTAM_CUDA_ROLLED _Pragma("unroll 1")
#else
#define BANTAM_CUDA_UNROLL
#define BANTAM_CUDA_ROLLED
#endif

/// Threads that run in step.
inline constexpr int warp_threads = 32;

/// Shared memory that every GPU gives a block without being asked.
inline constexpr std::size_t max_shared_bytes = std::size_t{48} << 10;

/// What a thread keeps between the phases: registers on a GPU. It begins with zeros.
template <class T, int Threads>
class PerThread {
public:
#ifdef __CUDACC__
    BANTAM_HOST_DEVICE T& operator[](int) { return value_; }

private:
    T value_{};
#else
    T& operator[](int thread) { return values_[thread]; }

private:
    T values_[Threads]{};
#endif
};

/// A block of threads at work.
template <int Threads>
class ThreadBlock {
public:
    BANTAM_HOST_DEVICE explicit ThreadBlock(Index index) : index_{index} {}

    /// Which of the blocks this is.
    BANTAM_HOST_DEVICE Index index() const { return index_; }

    /// One phase: `phase(thread)` for every thread, and a barrier.
    template <class Phase>
    BANTAM_HOST_DEVICE void for_each_thread(const Phase& phase) const {
#if defined(__CUDA_ARCH__)
        phase(static_cast<int>(threadIdx.x));
        __syncthreads();
#else
        for (int thread = 0; thread < Threads; ++thread) phase(thread);
#endif
    }

    /// The same without the barrier: nothing that it writes into shared memory may be read, nor what it reads
    /// be written, by other threads before the next phase is over.
    template <class Phase>
    BANTAM_HOST_DEVICE void for_each_thread_alone(const Phase& phase) const {
#if defined(__CUDA_ARCH__)
        phase(static_cast<int>(threadIdx.x));
#else
        for_each_thread(phase);
#endif
    }

    /// The same for every warp.
    template <class Phase>
    BANTAM_HOST_DEVICE void for_each_warp(const Phase& phase) const {
#if defined(__CUDA_ARCH__)
        phase(static_cast<int>(threadIdx.x) / warp_threads);
        __syncthreads();
#else
        for (int warp = 0; warp < Threads / warp_threads; ++warp) phase(warp);
#endif
    }

    template <class T>
    BANTAM_HOST_DEVICE PerThread<T, Threads> per_thread() const {
        return {};
    }
    /// What a warp keeps, spread over its threads.
    template <class T>
    BANTAM_HOST_DEVICE PerThread<T, Threads / warp_threads> per_warp() const {
        return {};
    }

private:
    Index index_;
};

namespace detail {

#ifdef __CUDACC__

/// Blocks of a kernel that a multiprocessor's registers must hold at once, where it says so.
template <class Kernel>
constexpr int min_blocks_per_multiprocessor() {
    if constexpr (requires { Kernel::min_blocks_per_multiprocessor; })
        return Kernel::min_blocks_per_multiprocessor;
    else
        return 0;  // as many as it comes to
}

template <class Kernel>
__global__ void __launch_bounds__(Kernel::threads, min_blocks_per_multiprocessor<Kernel>())
    run_block(Index first, Kernel kernel) {
    __shared__ typename Kernel::Shared shared;
    kernel(ThreadBlock<Kernel::threads>{first + static_cast<Index>(blockIdx.x)}, shared);
}

#else

template <class Kernel>
struct RunBlock {
    Kernel kernel;
    void operator()(Index index) const {
        typename Kernel::Shared shared;
        kernel(ThreadBlock<Kernel::threads>{index}, shared);
    }
};

#endif

}  // namespace detail

/// Runs `kernel` in `count` blocks, in no order.
template <class Kernel>
void run_blocks(const Execution& execution, Index count, const Kernel& kernel) {
    static_assert(sizeof(typename Kernel::Shared) <= max_shared_bytes, "a block has 48 KiB of shared memory");
    static_assert(std::is_trivially_default_constructible_v<typename Kernel::Shared>,
                  "shared memory comes as it is: nothing constructs what lies there");
#ifdef __CUDACC__
    constexpr Index most = (Index{1} << 31) - 1;  // blocks that one launch takes
    for (Index first = 0; first < count; first += most) {
        const auto blocks = static_cast<unsigned>(std::min(most, count - first));
        detail::run_block<<<blocks, Kernel::threads, 0, execution.stream()>>>(first, kernel);
        BANTAM_CUDA_CHECK(cudaGetLastError());
    }
#else
    for_each_index(execution, count, detail::RunBlock<Kernel>{kernel});
#endif
}

}  // namespace bantam::cuda
