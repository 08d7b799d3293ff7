// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>

#include <cstddef>
#include <optional>
#include <vector>

namespace bantam {

/// How often each class was answered for the samples of each label.
class ConfusionMatrix {
public:
    explicit ConfusionMatrix(Index classes = 0)
        : classes_{classes}, counts_(static_cast<std::size_t>(classes * classes)) {}

    Index classes() const { return classes_; }

    /// Both arguments are 0 … classes − 1.
    void add(Index label, Index answer) { ++counts_[position(label, answer)]; }
    Index count(Index label, Index answer) const { return counts_[position(label, answer)]; }

    /// Samples with this label.
    Index labeled(Index label) const {
        Index sum = 0;
        for (Index answer = 0; answer < classes_; ++answer) sum += count(label, answer);
        return sum;
    }
    /// Samples for which this class was answered.
    Index answered(Index answer) const {
        Index sum = 0;
        for (Index label = 0; label < classes_; ++label) sum += count(label, answer);
        return sum;
    }

    /// How many of the class's answers are right, and how many of its samples are found, 0..1; absent without any.
    std::optional<double> precision(Index of) const { return ratio(count(of, of), answered(of)); }
    std::optional<double> recall(Index of) const { return ratio(count(of, of), labeled(of)); }

private:
    std::size_t position(Index label, Index answer) const {
        return static_cast<std::size_t>(label * classes_ + answer);
    }
    static std::optional<double> ratio(Index part, Index whole) {
        return whole > 0 ? std::optional{static_cast<double>(part) / static_cast<double>(whole)} : std::nullopt;
    }

    Index classes_;
    std::vector<Index> counts_;  // [label][answer]
};

}  // namespace bantam
