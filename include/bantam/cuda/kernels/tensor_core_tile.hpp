// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/bfloat16.hpp>
#include <bantam/base/host_device.hpp>
#include <bantam/cuda/runtime/thread_block.hpp>

#include <cstdint>
#include <type_traits>

#ifdef __CUDACC__
#include <cuda_bf16.h>
#include <mma.h>
#endif

namespace bantam::cuda {

/// TensorFloat-32: a float whose mantissa is rounded to 10 bits, what tensor cores take in place of one.
struct Tf32 {
    float value;

    Tf32() = default;
    /// The nearest value; of two that are as near the one that is farther from zero, as the hardware rounds.
    BANTAM_HOST_DEVICE constexpr explicit Tf32(float wide) : value{wide} {
        const auto bits = __builtin_bit_cast(std::uint32_t, wide);
        // What is not finite stays so.
        if ((bits & 0x7f800000u) != 0x7f800000u) value = __builtin_bit_cast(float, (bits + 0x1000u) & 0xffffe000u);
    }
    BANTAM_HOST_DEVICE constexpr operator float() const { return value; }
};

/// `Count` tiles of 16×16, side by side, of a product that one warp sums up: C += A · B with A [16 × depth] and
/// B [depth × 16 · Count] of T in shared memory, aligned to 32 bytes, and sums in float. On tensor cores where there
/// are any for T.
template <class T, int Count>
class TensorCoreTiles {
public:
    static constexpr int side = 16;
    static constexpr int depth = sizeof(T) == 2 ? 16 : 8;  ///< what one `add` takes of the sum

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    BANTAM_HOST_DEVICE void clear() {
        BANTAM_CUDA_UNROLL
        for (int t = 0; t < Count; ++t) nvcuda::wmma::fill_fragment(sums_[t], 0.0f);
    }

    /// `AByColumn`: element (i, k) of A lies at a[k · a_stride + i], otherwise at a[i · a_stride + k];
    /// `BByColumn`: element (k, j) of B at b[j · b_stride + k], otherwise at b[k · b_stride + j].
    template <bool AByColumn, bool BByColumn>
    BANTAM_HOST_DEVICE void add(const T* a, int a_stride, const T* b, int b_stride) {
        namespace wmma = nvcuda::wmma;
        wmma::fragment<wmma::matrix_a, side, side, depth, Stored, Layout<AByColumn>> left;
        wmma::load_matrix_sync(left, memory(a), static_cast<unsigned>(a_stride));
        BANTAM_CUDA_UNROLL
        for (int t = 0; t < Count; ++t) {
            wmma::fragment<wmma::matrix_b, side, side, depth, Stored, Layout<BByColumn>> right;
            wmma::load_matrix_sync(right, memory(b + t * side * (BByColumn ? b_stride : 1)),
                                   static_cast<unsigned>(b_stride));
            wmma::mma_sync(sums_[t], left, right, sums_[t]);
        }
    }

    /// to[i · stride + 16 · tile + j] = C
    BANTAM_HOST_DEVICE void store(float* to, int stride) const {
        BANTAM_CUDA_UNROLL
        for (int t = 0; t < Count; ++t)
            nvcuda::wmma::store_matrix_sync(to + t * side, sums_[t], static_cast<unsigned>(stride),
                                            nvcuda::wmma::mem_row_major);
    }

private:
    using Stored = std::conditional_t<sizeof(T) == 2, __nv_bfloat16, nvcuda::wmma::precision::tf32>;
    template <bool ByColumn>
    using Layout = std::conditional_t<ByColumn, nvcuda::wmma::col_major, nvcuda::wmma::row_major>;
    BANTAM_HOST_DEVICE static auto memory(const T* values) {
        if constexpr (sizeof(T) == 2)
            return reinterpret_cast<const __nv_bfloat16*>(values);
        else
            return reinterpret_cast<const float*>(values);
    }

    nvcuda::wmma::fragment<nvcuda::wmma::accumulator, side, side, depth, float> sums_[Count];

#else
    // Without tensor cores a thread sums a piece of a row: its share on a GPU, one after the other on the host.
    BANTAM_HOST_DEVICE void clear() {
        for_each_share([&](int, float* sums) {
            BANTAM_CUDA_UNROLL
            for (int i = 0; i < share; ++i) sums[i] = 0;
        });
    }

    template <bool AByColumn, bool BByColumn>
    BANTAM_HOST_DEVICE void add(const T* a, int a_stride, const T* b, int b_stride) {
        for_each_share([&](int thread, float* sums) {
            const int row = thread / 2, first = thread % 2 * (share / Count);
            for (int k = 0; k < depth; ++k) {
                const float left = AByColumn ? a[k * a_stride + row] : a[row * a_stride + k];
                BANTAM_CUDA_UNROLL
                for (int i = 0; i < share; ++i) {
                    const int column = i / (share / Count) * side + first + i % (share / Count);
                    sums[i] += left * (BByColumn ? b[column * b_stride + k] : b[k * b_stride + column]);
                }
            }
        });
    }

    BANTAM_HOST_DEVICE void store(float* to, int stride) const {
        for_each_share([&](int thread, const float* sums) {
            BANTAM_CUDA_UNROLL
            for (int i = 0; i < share; ++i)
                to[thread / 2 * stride + i / (share / Count) * side + thread % 2 * (share / Count) +
                   i % (share / Count)] = sums[i];
        });
    }

private:
    static constexpr int share = side * side * Count / warp_threads;

#ifdef __CUDA_ARCH__
    template <class Body>
    BANTAM_HOST_DEVICE void for_each_share(const Body& body) {
        body(static_cast<int>(threadIdx.x) % warp_threads, sums_);
    }
    template <class Body>
    BANTAM_HOST_DEVICE void for_each_share(const Body& body) const {
        body(static_cast<int>(threadIdx.x) % warp_threads, sums_);
    }
    float sums_[share];
#else
    template <class Body>
    BANTAM_HOST_DEVICE void for_each_share(const Body& body) {
        for (int thread = 0; thread < warp_threads; ++thread) body(thread, sums_ + thread * share);
    }
    template <class Body>
    BANTAM_HOST_DEVICE void for_each_share(const Body& body) const {
        for (int thread = 0; thread < warp_threads; ++thread) body(thread, sums_ + thread * share);
    }
    float sums_[share * warp_threads];
#endif
#endif
};

}  // namespace bantam::cuda
