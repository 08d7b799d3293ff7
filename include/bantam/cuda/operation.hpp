// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/core/shape.hpp>
#include <bantam/cuda/execution.hpp>
#include <bantam/device/operation.hpp>
#include <bantam/device/stage_clock.hpp>

#include <cstdint>

namespace bantam::cuda {

using device::OperationSizes;
using device::Weights;

/// Sums over positions are made of this many parts at most, which are added in order: the same bits on
/// every run.
inline constexpr std::int64_t max_parts = 256;

/// What an operation knows of the pass it runs in.
template <class S>
struct Pass {
    std::int64_t count = 0;    ///< samples in the batch
    bool training = false;     ///< batch statistics, dropout; forward keeps what backward needs
    const std::uint64_t* seed = nullptr;  ///< randomness of this step, on the device
    std::uint64_t stream = 0;  ///< randomness of this layer
    S* scratch = nullptr;      ///< `Operation::scratch` scalars
    S* partials = nullptr;     ///< `Operation::partials` scalars, `max_parts` times
    double* sums = nullptr;    ///< `Operation::sums` doubles, `max_parts` times
    device::StageClock* clock = nullptr;
    const Execution* execution = nullptr;
};

/// How `L` runs on an `Input` shape: the interface of `cpu::Operation` with buffers on the device.
template <class L, Shape Input, class S>
struct Operation;

/// Calls `functor(i)` for every i below `count`, in no order.
template <class S, class Functor>
void for_each_index(const Pass<S>& pass, std::int64_t count, Functor functor) {
    for_each_index(*pass.execution, count, functor);
}

/// Rows [begin, end) of part `part` when `rows` rows fall into `parts`.
struct RowRange {
    std::int64_t begin, end;
};
BANTAM_HOST_DEVICE constexpr RowRange part_of(std::int64_t rows, std::int64_t parts, std::int64_t part) {
    return {rows * part / parts, rows * (part + 1) / parts};
}
/// Parts that a sum over `rows` falls into: fixed by the batch alone.
constexpr std::int64_t part_count(std::int64_t rows) {
    return rows < max_parts ? rows : max_parts;
}

namespace detail {

/// partials[part][index] = Σ over the part's rows of term(row, index).
template <class Total, class Term>
struct SumOfPart {
    Term term;
    std::int64_t rows, parts, size;
    Total* partials;
    BANTAM_HOST_DEVICE void operator()(std::int64_t i) const {
        const std::int64_t index = i % size;
        const RowRange part = part_of(rows, parts, i / size);
        Total sum{};
        for (std::int64_t row = part.begin; row < part.end; ++row) sum += static_cast<Total>(term(row, index));
        partials[i] = sum;
    }
};

/// result[index] = Σ over the parts, in order.
template <class Total, class Result>
struct SumOfParts {
    const Total* partials;
    std::int64_t parts, size;
    Result* result;
    BANTAM_HOST_DEVICE void operator()(std::int64_t index) const {
        Total sum{};
        for (std::int64_t part = 0; part < parts; ++part) sum += partials[part * size + index];
        result[index] = static_cast<Result>(sum);
    }
};

}  // namespace detail

/// result[index] = Σ over `rows` of term(row, index), for index below `size`; `partials` is memory for
/// max_parts · size totals.
template <class Total, class Term, class Result>
void sum_over_rows(const Execution& execution, std::int64_t rows, std::int64_t size, Term term, Total* partials,
                   Result* result) {
    const std::int64_t parts = part_count(rows);
    for_each_index(execution, parts * size, detail::SumOfPart<Total, Term>{term, rows, parts, size, partials});
    for_each_index(execution, size, detail::SumOfParts<Total, Result>{partials, parts, size, result});
}
template <class S, class Total, class Term, class Result>
void sum_over_rows(const Pass<S>& pass, std::int64_t rows, std::int64_t size, Term term, Total* partials,
                   Result* result) {
    sum_over_rows(*pass.execution, rows, size, term, partials, result);
}

}  // namespace bantam::cuda
