// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/core/bfloat16.hpp>

#include <cstdint>

namespace bantam::device {

/// Where an operation on activations of type `S` finds its tensors.
template <class S>
struct Weights {
    const Arithmetic<S>* parameters = nullptr;  ///< trainable, in the order of the layer's tensor list
    Arithmetic<S>* statistics = nullptr;        ///< not trainable, likewise
    const Arithmetic<S>* packed = nullptr;      ///< what `prepare` made of the parameters
};

/// How many `S` take the room of one number that is computed in.
template <class S>
inline constexpr std::int64_t scalars_a_number = sizeof(Arithmetic<S>) / sizeof(S);

/// `scalars` of S, and as many more as make what lies behind them begin at a multiple of 16 bytes: aligned for
/// numbers, and for as many neighbours as are read at once.
template <class S>
constexpr std::int64_t whole_numbers(std::int64_t scalars) {
    constexpr auto together = static_cast<std::int64_t>(16 / sizeof(S));
    return (scalars + together - 1) / together * together;
}

/// Sizes that an operation states, with the answers of one that needs nothing.
struct OperationSizes {
    static constexpr std::int64_t saved_per_sample(bool /*training*/) { return 0; }
    static constexpr std::int64_t saved_fixed(bool /*training*/) { return 0; }
    static constexpr std::int64_t packed = 0;    ///< scalars that `prepare` writes
    static constexpr std::int64_t scratch = 0;   ///< scalars a worker: a thread of the CPU, the whole of a GPU
    static constexpr std::int64_t partials = 0;  ///< scalars a part of the batch
    static constexpr std::int64_t sums = 0;      ///< doubles a part of the batch

    template <class S>
    static void prepare(const S* /*parameters*/, S* /*packed*/) {}
};

}  // namespace bantam::device
