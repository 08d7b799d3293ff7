// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/bfloat16.hpp>
#include <bantam/base/index.hpp>

namespace bantam::exec {

/// Where an operation on activations of type `S` finds its tensors.
template <class S>
struct Weights {
    const Compute<S>* parameters = nullptr;  ///< trainable, in the order of the layer's tensor list
    Compute<S>* statistics = nullptr;        ///< not trainable, likewise
    const Compute<S>* packed = nullptr;      ///< what `prepare` made of the parameters
};

/// How many `S` take the room of one number that is computed in.
template <class S>
inline constexpr Index storage_per_compute = sizeof(Compute<S>) / sizeof(S);

/// `scalars` of S, and as many more as make what lies behind them begin at a multiple of 16 bytes: aligned for
/// numbers, and for as many neighbors as are read at once.
template <class S>
constexpr Index align_up(Index scalars) {
    constexpr auto together = static_cast<Index>(16 / sizeof(S));
    return (scalars + together - 1) / together * together;
}

/// Sizes that an operation states, with the answers of one that needs nothing.
struct OperationSizes {
    static constexpr Index saved_per_sample(bool /*training*/) { return 0; }
    static constexpr Index saved_fixed(bool /*training*/) { return 0; }
    static constexpr Index packed_size = 0;   ///< scalars that `prepare` writes
    static constexpr Index scratch_size = 0;  ///< scalars a worker: a thread of the CPU, the whole of a GPU
    static constexpr Index partial_size = 0;  ///< scalars a part of the batch
    static constexpr Index sum_count = 0;     ///< doubles a part of the batch

    template <class S>
    static void prepare(const S* /*parameters*/, S* /*packed*/) {}
};

}  // namespace bantam::exec
