// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/error.hpp>
#include <bantam/base/index.hpp>
#include <bantam/core/network.hpp>

#include <algorithm>
#include <span>
#include <string>
#include <vector>

namespace bantam {

/// Elements [begin, end) of the flat parameter buffer. Weights are decayed; biases and the scales and shifts of
/// normalization are not.
struct ParameterRange {
    Index begin;
    Index end;
    bool decayed;

    constexpr bool operator==(const ParameterRange&) const = default;
};

/// Joins adjacent ranges of the same kind, so that an optimizer has few long loops. The ranges must follow
/// each other without gap or overlap from 0 to `parameter_count`; throws Error otherwise.
inline std::vector<ParameterRange> joined_ranges(std::span<const ParameterRange> ranges, Index parameter_count) {
    std::vector<ParameterRange> joined;
    Index expected = 0;
    for (const ParameterRange& range : ranges) {
        if (range.begin != expected || range.end < range.begin) {
            throw Error("parameter range " + std::to_string(range.begin) + ".." + std::to_string(range.end) +
                        " does not follow " + std::to_string(expected) + "; give every tensor once, in buffer order");
        }
        expected = range.end;
        if (range.begin == range.end) continue;
        if (!joined.empty() && joined.back().decayed == range.decayed) {
            joined.back().end = range.end;
        } else {
            joined.push_back(range);
        }
    }
    if (expected != parameter_count) {
        throw Error("parameter ranges end at " + std::to_string(expected) + ", expected " +
                    std::to_string(parameter_count) + "; give every tensor once, in buffer order");
    }
    return joined;
}

/// A weight of the flat parameter buffer that is a matrix: [rows][columns] from `begin` on.
struct ParameterMatrix {
    Index begin;
    Index rows;     ///< outputs
    Index columns;  ///< inputs

    constexpr Index size() const { return rows * columns; }
    constexpr Index end() const { return begin + size(); }
    constexpr bool operator==(const ParameterMatrix&) const = default;
};

/// The ranges without the elements of `matrices`, both in buffer order.
inline std::vector<ParameterRange> ranges_without(std::span<const ParameterRange> ranges,
                                                  std::span<const ParameterMatrix> matrices) {
    std::vector<ParameterRange> remaining;
    for (ParameterRange range : ranges) {
        for (const ParameterMatrix& matrix : matrices) {
            if (matrix.end() <= range.begin || matrix.begin >= range.end) continue;
            if (range.begin < matrix.begin) remaining.push_back({range.begin, matrix.begin, range.decayed});
            range.begin = std::min(matrix.end(), range.end);
        }
        if (range.begin < range.end) remaining.push_back(range);
    }
    return remaining;
}

/// One range for every trainable tensor of `Net`, in buffer order.
template <class Net>
std::vector<ParameterRange> parameter_ranges() {
    std::vector<ParameterRange> ranges;
    for (const NamedTensor& entry : tensor_table<Net>)
        if (entry.tensor.trainable)
            ranges.push_back({entry.offset, entry.offset + entry.tensor.element_count(), entry.tensor.decayed});
    return ranges;
}

/// The weights of `Net` that mix channels at one position, in buffer order: those of linear layers and of 1×1
/// convolutions, of more than one row and column. A convolution in groups counts as the matrix [M, N / groups].
template <class Net>
std::vector<ParameterMatrix> parameter_matrices() {
    std::vector<ParameterMatrix> matrices;
    for (const NamedTensor& entry : tensor_table<Net>) {
        const auto& [rows, columns, height, width] = entry.tensor.extents;
        const bool one_position = entry.tensor.rank == 2 || (entry.tensor.rank == 4 && height * width == 1);
        if (entry.tensor.decayed && one_position && rows > 1 && columns > 1)
            matrices.push_back({entry.offset, rows, columns});
    }
    return matrices;
}

}  // namespace bantam
