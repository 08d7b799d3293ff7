// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/host_device.hpp>
#include <bantam/base/index.hpp>
#include <bantam/cuda/runtime/execution.hpp>

#include <algorithm>
#include <cstddef>
#include <type_traits>

namespace bantam::cuda {

// A kernel that uses shared memory is a functor that is called once per thread block:
//
//     struct Kernel {
//         static constexpr int threads = 256;
//         static constexpr int min_blocks_per_multiprocessor = 2;  // optional, limits the registers per thread
//         struct Shared { float values[256]; };
//         template <class Block>
//         BANTAM_HOST_DEVICE void operator()(const Block& block, Shared& shared) const;
//     };
//
// Its body is a sequence of phases, `block.for_each_thread([&](int thread) { ... })`. Within a phase the threads run
// in any order; a phase begins after all threads have finished the one before. On a GPU a phase is each thread's code
// followed by a barrier, on the processor it is a loop over the threads. `for_each_warp` calls its phase once per
// warp. `for_each_thread_nosync` leaves the barrier out.

// A loop over an array in registers must be unrolled, since registers cannot be indexed. BANTAM_CUDA_ROLLED keeps the
// compiler from unrolling a loop into more registers than there are.
#ifdef __CUDA_ARCH__
#define BANTAM_CUDA_UNROLL _Pragma("unroll")
#define BANTAM_CUDA_ROLLED _Pragma("unroll 1")
#else
#define BANTAM_CUDA_UNROLL
#define BANTAM_CUDA_ROLLED
#endif

inline constexpr int warp_threads = 32;

/// Shared memory that a thread block of any GPU has without opting in to more.
inline constexpr std::size_t max_shared_bytes = std::size_t{48} << 10;

/// One T per thread that persists across phases, in registers on a GPU. Zero-initialized.
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

/// A fixed number of values, such as what a thread accumulates.
template <class S, int Count>
struct Values {
    S values[Count];
};

/// The block argument of a kernel.
template <int Threads>
class ThreadBlock {
public:
    BANTAM_HOST_DEVICE explicit ThreadBlock(Index index) : index_{index} {}

    /// The block's index in the grid.
    BANTAM_HOST_DEVICE Index index() const { return index_; }

    /// One phase: `phase(thread)` for every thread, then a barrier.
    template <class Phase>
    BANTAM_HOST_DEVICE void for_each_thread(const Phase& phase) const {
#if defined(__CUDA_ARCH__)
        phase(static_cast<int>(threadIdx.x));
        __syncthreads();
#else
        for (int thread = 0; thread < Threads; ++thread) phase(thread);
#endif
    }

    /// Without the barrier: until the next phase has ended, other threads must neither read the shared memory that
    /// this phase writes nor write what it reads.
    template <class Phase>
    BANTAM_HOST_DEVICE void for_each_thread_nosync(const Phase& phase) const {
#if defined(__CUDA_ARCH__)
        phase(static_cast<int>(threadIdx.x));
#else
        for_each_thread(phase);
#endif
    }

    /// `phase(warp)` for every warp, whose threads execute it together; then a barrier.
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
    /// One T per warp, distributed over the warp's threads.
    template <class T>
    BANTAM_HOST_DEVICE PerThread<T, Threads / warp_threads> per_warp() const {
        return {};
    }

private:
    Index index_;
};

namespace detail {

#ifdef __CUDACC__

/// The second argument of __launch_bounds__; 0 sets no bound.
template <class Kernel>
constexpr int min_blocks_per_multiprocessor() {
    if constexpr (requires { Kernel::min_blocks_per_multiprocessor; })
        return Kernel::min_blocks_per_multiprocessor;
    else
        return 0;
}

template <class Kernel>
__global__ void __launch_bounds__(Kernel::threads, min_blocks_per_multiprocessor<Kernel>())
    block_entry(Index first, Kernel kernel) {
    __shared__ typename Kernel::Shared shared;
    kernel(ThreadBlock<Kernel::threads>{first + static_cast<Index>(blockIdx.x)}, shared);
}

#else

template <class Kernel>
struct BlockEntry {
    Kernel kernel;
    void operator()(Index index) const {
        typename Kernel::Shared shared;
        kernel(ThreadBlock<Kernel::threads>{index}, shared);
    }
};

#endif

}  // namespace detail

/// Runs `count` thread blocks of `kernel`, in any order.
template <class Kernel>
void run_blocks(const Execution& execution, Index count, const Kernel& kernel) {
    static_assert(sizeof(typename Kernel::Shared) <= max_shared_bytes, "a thread block has 48 KiB of shared memory");
    static_assert(std::is_trivially_default_constructible_v<typename Kernel::Shared>,
                  "shared memory is not initialized: no constructor runs");
#ifdef __CUDACC__
    constexpr Index max_grid = (Index{1} << 31) - 1;
    for (Index first = 0; first < count; first += max_grid) {
        const auto blocks = static_cast<unsigned>(std::min(max_grid, count - first));
        detail::block_entry<<<blocks, Kernel::threads, 0, execution.stream()>>>(first, kernel);
        BANTAM_CUDA_CHECK(cudaGetLastError());
    }
#else
    for_each_index(execution, count, detail::BlockEntry<Kernel>{kernel});
#endif
}

}  // namespace bantam::cuda
