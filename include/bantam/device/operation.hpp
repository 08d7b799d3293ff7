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

/// `scalars` of S, and as many more as leave room for whole numbers: what lies behind them is aligned for both.
template <class S>
constexpr std::int64_t whole_numbers(std::int64_t scalars) {
    return (scalars + scalars_a_number<S> - 1) / scalars_a_number<S> * scalars_a_number<S>;
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
