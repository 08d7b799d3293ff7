// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/bfloat16.hpp>
#include <bantam/base/host_device.hpp>
#include <bantam/base/index.hpp>
#include <bantam/cuda/runtime/thread_block.hpp>

#include <algorithm>
#include <cstddef>

namespace bantam::cuda {

/// `Count` adjacent scalars that one instruction loads or stores, up to 16 bytes at a time.
template <class T, int Count>
struct alignas(std::min<std::size_t>(16, sizeof(T) * Count)) AlignedVector {
    T values[Count];
};

/// The widest AlignedVector, in scalars, that stays aligned in every row of a matrix whose rows have `row_size`
/// scalars and no gaps between them.
template <class T>
BANTAM_HOST_DEVICE constexpr int max_vector_width(Index row_size) {
    int width = 16 / static_cast<int>(sizeof(T));
    while (row_size % width != 0) width /= 2;
    return width;
}

/// Loads `Count` adjacent scalars and converts them to Compute<T>. `Aligned`: `from` is aligned for an
/// AlignedVector<T, Count>.
template <int Count, bool Aligned, class T>
BANTAM_HOST_DEVICE void load_n(const T* from, Compute<T>* to) {
    if constexpr (Aligned) {
        const auto vector = *reinterpret_cast<const AlignedVector<T, Count>*>(from);
        BANTAM_CUDA_UNROLL
        for (int j = 0; j < Count; ++j) to[j] = vector.values[j];
    } else {
        BANTAM_CUDA_UNROLL
        for (int j = 0; j < Count; ++j) to[j] = from[j];
    }
}

/// Rounds `Count` values to T and stores them; `values` are the rounded ones afterwards. `Aligned` as in load_n.
template <int Count, bool Aligned, class T>
BANTAM_HOST_DEVICE void store_n(Compute<T>* values, T* to) {
    AlignedVector<T, Count> vector;
    BANTAM_CUDA_UNROLL
    for (int j = 0; j < Count; ++j) {
        vector.values[j] = T(values[j]);
        values[j] = vector.values[j];
    }
    if constexpr (Aligned) {
        *reinterpret_cast<AlignedVector<T, Count>*>(to) = vector;
    } else {
        BANTAM_CUDA_UNROLL
        for (int j = 0; j < Count; ++j) to[j] = vector.values[j];
    }
}

}  // namespace bantam::cuda
