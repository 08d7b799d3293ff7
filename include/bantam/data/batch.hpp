// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>

#include <cstdint>
#include <vector>

namespace bantam {

/// Samples ready for a network. Each has a label, teacher logits or both, or target values, as the loss reads them. Its
/// source, by which SourceWeights weigh it, is mixed where `mixed` says so, else labeled where it has a label, else
/// unlabeled.
struct Batch {
    Index count = 0;
    /// [count][height][width][channels], normalized; of several ranks, each may have those of its own samples alone.
    std::vector<float> pixels{};
    std::vector<int> labels{};                ///< [count], −1 where there is none
    std::vector<float> teacher_logits{};      ///< [count][class], 0 where there are none; empty without a teacher
    std::vector<std::uint8_t> has_teacher{};  ///< [count], 0 or 1; not read without teacher_logits
    std::vector<float> targets{};             ///< [count][output], for losses that are no classification
    std::vector<std::uint8_t> mixed{};        ///< [count], 1 for pictures mixed with each other; empty where none is
};

/// Samples [begin, end) of an epoch's order.
struct BatchRange {
    Index begin = 0;
    Index end = 0;
    Index count() const { return end - begin; }
};

}  // namespace bantam
