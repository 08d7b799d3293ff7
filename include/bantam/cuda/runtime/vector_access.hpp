// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/bfloat16.hpp>
#include <bantam/base/host_device.hpp>
#include <bantam/base/index.hpp>
#include <bantam/cuda/runtime/thread_block.hpp>

#include <algorithm>
#include <cstddef>

namespace bantam::cuda {

/// Neighbors in memory that one instruction reads or writes: 16 bytes of them at most.
template <class T, int Count>
struct alignas(std::min<std::size_t>(16, sizeof(T) * Count)) Pack {
    T values[Count];
};

/// How many neighbors go into one pack where rows of `size` lie one behind the other: as many as keep every row's
/// packs aligned.
template <class T>
BANTAM_HOST_DEVICE constexpr int pack_size(Index size) {
    int count = 16 / static_cast<int>(sizeof(T));
    while (size % count != 0) count /= 2;
    return count;
}

/// Values from memory, as what is computed in. `Aligned` where they begin at a multiple of their pack.
template <int Count, bool Aligned, class T>
BANTAM_HOST_DEVICE void load_values(const T* from, Compute<T>* to) {
    if constexpr (Aligned) {
        const auto pack = *reinterpret_cast<const Pack<T, Count>*>(from);
        BANTAM_CUDA_UNROLL
        for (int j = 0; j < Count; ++j) to[j] = pack.values[j];
    } else {
        BANTAM_CUDA_UNROLL
        for (int j = 0; j < Count; ++j) to[j] = from[j];
    }
}

/// Values to memory; `values` then holds what is there, rounded where `T` is the narrower type.
template <int Count, bool Aligned, class T>
BANTAM_HOST_DEVICE void store_values(Compute<T>* values, T* to) {
    Pack<T, Count> pack;
    BANTAM_CUDA_UNROLL
    for (int j = 0; j < Count; ++j) {
        pack.values[j] = T(values[j]);
        values[j] = pack.values[j];
    }
    if constexpr (Aligned) {
        *reinterpret_cast<Pack<T, Count>*>(to) = pack;
    } else {
        BANTAM_CUDA_UNROLL
        for (int j = 0; j < Count; ++j) to[j] = pack.values[j];
    }
}

}  // namespace bantam::cuda
