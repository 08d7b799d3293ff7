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

/// TensorFloat-32: a float whose mantissa is rounded to 10 bits, as tensor cores take it.
struct Tf32 {
    float value;

    Tf32() = default;
    /// Rounds to nearest, ties away from zero, as the hardware does.
    BANTAM_HOST_DEVICE constexpr explicit Tf32(float exact) : value{exact} {
        const auto bits = __builtin_bit_cast(std::uint32_t, exact);
        // Infinity and NaN stay as they are.
        if ((bits & 0x7f800000u) != 0x7f800000u) value = __builtin_bit_cast(float, (bits + 0x1000u) & 0xffffe000u);
    }
    BANTAM_HOST_DEVICE constexpr operator float() const { return value; }
};

/// The accumulators of one warp: `Count` tiles of 16×16, side by side. C += A · B with A [16 × depth] and
/// B [depth × 16 · Count] of T in shared memory, aligned to 32 bytes, and C in float. On tensor cores from Ampere on,
/// otherwise by multiply-adds.
template <class T, int Count>
class TensorCoreTiles {
public:
    static constexpr int side = 16;
    static constexpr int depth = sizeof(T) == 2 ? 16 : 8;  ///< extent of the reduction per `multiply_add`

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    BANTAM_HOST_DEVICE void clear() {
        BANTAM_CUDA_UNROLL
        for (int t = 0; t < Count; ++t) nvcuda::wmma::fill_fragment(accumulators_[t], 0.0f);
    }

    /// `AByColumn`: A is column-major, A(i, k) = a[k · a_stride + i]; otherwise row-major, a[i · a_stride + k].
    /// `BByColumn`: B is column-major, B(k, j) = b[j · b_stride + k]; otherwise row-major, b[k · b_stride + j].
    template <bool AByColumn, bool BByColumn>
    BANTAM_HOST_DEVICE void multiply_add(const T* a, int a_stride, const T* b, int b_stride) {
        namespace wmma = nvcuda::wmma;
        wmma::fragment<wmma::matrix_a, side, side, depth, Storage, Layout<AByColumn>> a_fragment;
        wmma::load_matrix_sync(a_fragment, as_storage(a), static_cast<unsigned>(a_stride));
        BANTAM_CUDA_UNROLL
        for (int t = 0; t < Count; ++t) {
            wmma::fragment<wmma::matrix_b, side, side, depth, Storage, Layout<BByColumn>> b_fragment;
            wmma::load_matrix_sync(b_fragment, as_storage(b + t * side * (BByColumn ? b_stride : 1)),
                                   static_cast<unsigned>(b_stride));
            wmma::mma_sync(accumulators_[t], a_fragment, b_fragment, accumulators_[t]);
        }
    }

    /// to[i · stride + 16 · tile + j] = C
    BANTAM_HOST_DEVICE void store(float* to, int stride) const {
        BANTAM_CUDA_UNROLL
        for (int t = 0; t < Count; ++t)
            nvcuda::wmma::store_matrix_sync(to + t * side, accumulators_[t], static_cast<unsigned>(stride),
                                            nvcuda::wmma::mem_row_major);
    }

private:
    using Storage = std::conditional_t<sizeof(T) == 2, __nv_bfloat16, nvcuda::wmma::precision::tf32>;
    template <bool ByColumn>
    using Layout = std::conditional_t<ByColumn, nvcuda::wmma::col_major, nvcuda::wmma::row_major>;
    BANTAM_HOST_DEVICE static auto as_storage(const T* values) {
        if constexpr (sizeof(T) == 2)
            return reinterpret_cast<const __nv_bfloat16*>(values);
        else
            return reinterpret_cast<const float*>(values);
    }

    nvcuda::wmma::fragment<nvcuda::wmma::accumulator, side, side, depth, float> accumulators_[Count];

#else
    // Without tensor cores each of the warp's 32 lanes accumulates half a row of every tile. On the host one call loops
    // over the lanes.
    BANTAM_HOST_DEVICE void clear() {
        for_each_lane([&](int, float* sums) {
            BANTAM_CUDA_UNROLL
            for (int i = 0; i < per_lane; ++i) sums[i] = 0;
        });
    }

    template <bool AByColumn, bool BByColumn>
    BANTAM_HOST_DEVICE void multiply_add(const T* a, int a_stride, const T* b, int b_stride) {
        for_each_lane([&](int lane, float* sums) {
            const int row = lane / 2, first = lane % 2 * (per_lane / Count);
            for (int k = 0; k < depth; ++k) {
                const float a_value = AByColumn ? a[k * a_stride + row] : a[row * a_stride + k];
                BANTAM_CUDA_UNROLL
                for (int i = 0; i < per_lane; ++i) {
                    const int column = i / (per_lane / Count) * side + first + i % (per_lane / Count);
                    sums[i] += a_value * (BByColumn ? b[column * b_stride + k] : b[k * b_stride + column]);
                }
            }
        });
    }

    BANTAM_HOST_DEVICE void store(float* to, int stride) const {
        for_each_lane([&](int lane, const float* sums) {
            BANTAM_CUDA_UNROLL
            for (int i = 0; i < per_lane; ++i)
                to[lane / 2 * stride + i / (per_lane / Count) * side + lane % 2 * (per_lane / Count) +
                   i % (per_lane / Count)] = sums[i];
        });
    }

private:
    static constexpr int per_lane = side * side * Count / warp_threads;

#ifdef __CUDA_ARCH__
    template <class Body>
    BANTAM_HOST_DEVICE void for_each_lane(const Body& body) {
        body(static_cast<int>(threadIdx.x) % warp_threads, accumulators_);
    }
    template <class Body>
    BANTAM_HOST_DEVICE void for_each_lane(const Body& body) const {
        body(static_cast<int>(threadIdx.x) % warp_threads, accumulators_);
    }
    float accumulators_[per_lane];
#else
    template <class Body>
    BANTAM_HOST_DEVICE void for_each_lane(const Body& body) {
        for (int lane = 0; lane < warp_threads; ++lane) body(lane, accumulators_ + lane * per_lane);
    }
    template <class Body>
    BANTAM_HOST_DEVICE void for_each_lane(const Body& body) const {
        for (int lane = 0; lane < warp_threads; ++lane) body(lane, accumulators_ + lane * per_lane);
    }
    float accumulators_[per_lane * warp_threads];
#endif
#endif
};

}  // namespace bantam::cuda
