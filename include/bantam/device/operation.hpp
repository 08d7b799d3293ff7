// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace bantam::device {

/// Where an operation finds its tensors.
template <class S>
struct Weights {
    const S* parameters = nullptr;  ///< trainable, in the order of the layer's tensor list
    S* statistics = nullptr;        ///< not trainable, likewise
    const S* packed = nullptr;      ///< what `prepare` made of the parameters
};

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
