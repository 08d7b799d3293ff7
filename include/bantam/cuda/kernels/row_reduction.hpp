// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/bfloat16.hpp>
#include <bantam/base/host_device.hpp>
#include <bantam/base/index.hpp>
#include <bantam/cuda/runtime/execution.hpp>
#include <bantam/cuda/runtime/thread_block.hpp>

#include <algorithm>
#include <cstdint>
#include <type_traits>

namespace bantam::cuda {

// Maps as matrices [rows][size], mostly [positions][channels]. In a block neighboring threads take
// neighboring columns, so that they read neighbors in memory; what threads are left take other rows.

/// Sums over positions are made of this many parts at most, which are added in a fixed order: the same
/// bits on every run.
inline constexpr Index max_slices = 512;

/// What a term gives that is summed into several values at once.
template <class S, int Count>
struct Values {
    S values[Count];
};

/// How many pieces of at most `limit`, and how long the longest is when they are as equal as can be.
BANTAM_HOST_DEVICE constexpr Index ceil_div(Index size, Index limit) { return (size + limit - 1) / limit; }
BANTAM_HOST_DEVICE constexpr Index even_split(Index size, Index limit) { return ceil_div(size, ceil_div(size, limit)); }

namespace detail {

template <class Given>
inline constexpr int value_count = 1;
template <class S, int Count>
inline constexpr int value_count<Values<S, Count>> = Count;

template <class S>
BANTAM_HOST_DEVICE S value_at(const S& given, int) {
    return given;
}
template <class S, int Count>
BANTAM_HOST_DEVICE S value_at(const Values<S, Count>& given, int i) {
    return given.values[i];
}

/// What `term(row, index)` gives.
template <class Term>
using Given = std::invoke_result_t<const Term&, Index, Index>;

inline constexpr int row_threads = 256;

/// Columns in pieces of at most a warp's width, or of fewer; a block takes one piece, with `lanes` rows at once.
struct ColumnPieces {
    Index size;
    std::uint32_t pieces;
    int width, lanes;

    static ColumnPieces of(Index size, Index widest = 32) {
        const auto width = static_cast<int>(even_split(size, widest));
        return {size, static_cast<std::uint32_t>(ceil_div(size, widest)), width, row_threads / width};
    }
};

/// Where a thread of a block stands: its column, and its lane among the rows.
struct ColumnPlace {
    Index column;
    int lane;
    bool inside;

    BANTAM_HOST_DEVICE ColumnPlace(const ColumnPieces& columns, std::uint32_t piece, int thread)
        : column{static_cast<Index>(piece) * columns.width + thread % columns.width},
          lane{thread / columns.width},
          inside{lane < columns.lanes && column < columns.size} {}
};

/// Adds up what a block's lanes hold, halving their number in a fixed order; lane 0 gets the sums.
/// Value `v` of thread `t` lies at totals[v · row_threads + t].
template <int Count, class Block, class Total>
BANTAM_HOST_DEVICE void join_lanes(const Block& block, int width, int lanes, Total* totals) {
    while (lanes > 1) {
        const int half = (lanes + 1) / 2;
        block.for_each_thread([&](int thread) {
            if (thread >= (lanes - half) * width) return;
            BANTAM_CUDA_UNROLL
            for (int v = 0; v < Count; ++v)
                totals[v * row_threads + thread] += totals[v * row_threads + thread + half * width];
        });
        lanes = half;
    }
}

/// What becomes of a column's sums in a part: to[part][value][index].
template <int Count, class Result>
struct StoreSums {
    Result* to;
    Index size;
    template <class Total>
    BANTAM_HOST_DEVICE void operator()(Index part, Index index, const Total* sums) const {
        BANTAM_CUDA_UNROLL
        for (int v = 0; v < Count; ++v) to[(part * Count + v) * size + index] = static_cast<Result>(sums[v]);
    }
};

/// finish(part, index, sums), where sums[value] = Σ over the part's rows of term(row, index).
template <class Total, class Term, class Finish>
struct SumRows {
    static constexpr int threads = row_threads;
    static constexpr int count = value_count<Given<Term>>;
    static constexpr int at_once = 4;  // rows that a thread reads before it adds, so that memory is kept busy
    struct Shared {
        Total totals[count * threads];
    };

    Term term;
    Index rows, rows_per_slice;
    ColumnPieces columns;
    Finish finish;

    template <class Block>
    BANTAM_HOST_DEVICE void operator()(const Block& block, Shared& shared) const {
        const auto index = static_cast<std::uint32_t>(block.index());
        const std::uint32_t part = index / columns.pieces, piece = index % columns.pieces;
        block.for_each_thread([&](int thread) {
            const ColumnPlace at{columns, piece, thread};
            Total sums[count]{};
            if (at.inside) add_rows(part * rows_per_slice, at, sums);
            BANTAM_CUDA_UNROLL
            for (int v = 0; v < count; ++v) shared.totals[v * threads + thread] = sums[v];
        });
        join_lanes<count>(block, columns.width, columns.lanes, shared.totals);
        block.for_each_thread([&](int thread) {
            const ColumnPlace at{columns, piece, thread};
            if (at.lane > 0 || !at.inside) return;
            Total sums[count];
            BANTAM_CUDA_UNROLL
            for (int v = 0; v < count; ++v) sums[v] = shared.totals[v * threads + thread];
            finish(part, at.column, sums);
        });
    }

private:
    BANTAM_HOST_DEVICE void add_rows(Index begin, const ColumnPlace& at, Total* sums) const {
        const auto add = [&](const Given<Term>& given) {
            BANTAM_CUDA_UNROLL
            for (int v = 0; v < count; ++v) sums[v] += static_cast<Total>(value_at(given, v));
        };
        const Index end = begin + rows_per_slice < rows ? begin + rows_per_slice : rows;
        Index row = begin + at.lane;
        for (; row + (at_once - 1) * columns.lanes < end; row += at_once * columns.lanes) {
            Given<Term> given[at_once];
            BANTAM_CUDA_UNROLL
            for (int j = 0; j < at_once; ++j) given[j] = term(row + j * columns.lanes, at.column);
            BANTAM_CUDA_UNROLL
            for (int j = 0; j < at_once; ++j) add(given[j]);
        }
        for (; row < end; row += columns.lanes) add(term(row, at.column));
    }
};

/// output[row][index] = column(index)(row).
template <class Column, class S>
struct WriteRows {
    static constexpr int threads = row_threads;
    static constexpr int at_once = 8;  // as above
    struct Shared {};

    Column column;
    Index rows;
    ColumnPieces columns;
    S* output;

    Index rows_per_block() const { return at_once * columns.lanes; }

    template <class Block>
    BANTAM_HOST_DEVICE void operator()(const Block& block, Shared&) const {
        const auto index = static_cast<std::uint32_t>(block.index());
        block.for_each_thread([&](int thread) {
            const ColumnPlace at{columns, index % columns.pieces, thread};
            if (!at.inside) return;
            const auto value_of = column(at.column);
            const Index row = Index{index / columns.pieces} * (at_once * columns.lanes) + at.lane;
            S values[at_once]{};
            BANTAM_CUDA_UNROLL
            for (int j = 0; j < at_once; ++j)
                if (row + j * columns.lanes < rows) values[j] = S(value_of(row + j * columns.lanes));
            BANTAM_CUDA_UNROLL
            for (int j = 0; j < at_once; ++j)
                if (row + j * columns.lanes < rows)
                    output[(row + j * columns.lanes) * columns.size + at.column] = values[j];
        });
    }
};

/// What a part holds of column `index`: values[part][value][index].
template <int Count, class Total>
struct SliceSums {
    const Total* values;
    Index size;
    BANTAM_HOST_DEVICE Values<Total, Count> operator()(Index part, Index index) const {
        Values<Total, Count> sums;
        BANTAM_CUDA_UNROLL
        for (int v = 0; v < Count; ++v) sums.values[v] = values[(part * Count + v) * size + index];
        return sums;
    }
};

/// A term of a sum over rows: the element itself.
template <class S>
struct RowElement {
    const S* values;
    Index stride;
    BANTAM_HOST_DEVICE Compute<S> operator()(Index row, Index index) const { return values[row * stride + index]; }
};

/// partials[part][value][index] = Σ over the part's rows of term(row, index), by one thread each.
template <class Total, class Term>
struct SumOfSlice {
    static constexpr int count = value_count<Given<Term>>;
    Term term;
    Index rows, parts, size;
    Total* partials;
    BANTAM_HOST_DEVICE void operator()(Index i) const {
        const Index part = i / size, index = i % size;
        Total sums[count]{};
        for (Index row = rows * part / parts; row < rows * (part + 1) / parts; ++row) {
            const auto given = term(row, index);
            for (int v = 0; v < count; ++v) sums[v] += static_cast<Total>(value_at(given, v));
        }
        for (int v = 0; v < count; ++v) partials[(part * count + v) * size + index] = sums[v];
    }
};

/// result[index] = Σ over the parts, in order.
template <class Total, class Result>
struct SumOfSlices {
    const Total* partials;
    Index parts, size;
    Result* result;
    BANTAM_HOST_DEVICE void operator()(Index index) const {
        Total sum{};
        for (Index part = 0; part < parts; ++part) sum += partials[part * size + index];
        result[index] = static_cast<Result>(sum);
    }
};

}  // namespace detail

/// Calls finish(0, index, sums) for every index below `size`, where sums[value] = Σ over the parts of
/// partials[part][value][index].
template <int Count, class Total, class Finish>
void finish_slices(const Execution& execution, Index parts, Index size, const Total* partials, const Finish& finish) {
    using Term = detail::SliceSums<Count, Total>;
    // There is little to read, and what follows waits for it: many lanes, each with a few parts.
    const auto columns = detail::ColumnPieces::of(size, 8);
    run_blocks(execution, columns.pieces,
               detail::SumRows<double, Term, Finish>{Term{partials, size}, parts, parts, columns, finish});
}

/// result[index] = Σ over the parts of partials[part][index], for index below `size`.
template <class Total, class Result>
void sum_slices(const Execution& execution, Index parts, Index size, const Total* partials, Result* result) {
    finish_slices<1>(execution, parts, size, partials, detail::StoreSums<1, Result>{result, size});
}

/// Calls finish(0, index, sums) for every index below `size`, where sums[value] = Σ over `rows` of
/// term(row, index), which gives a scalar or `Values`; `partials` is memory for max_slices · values · size totals.
template <class Total, class Term, class Finish>
void finish_rows(const Execution& execution, Index rows, Index size, const Term& term, Total* partials,
                 const Finish& finish) {
    constexpr int count = detail::value_count<detail::Given<Term>>;
    constexpr Index turns = 8;  // rows of a lane at least: a part must be worth its place among the sums
    const auto columns = detail::ColumnPieces::of(size);
    const Index rows_per_slice = std::max(turns * columns.lanes, ceil_div(rows, max_slices));
    const Index parts = std::max<Index>(1, ceil_div(rows, rows_per_slice));
    const auto sum_into = [&](const auto& to) {
        using To = std::remove_cvref_t<decltype(to)>;
        run_blocks(execution, parts * columns.pieces,
                   detail::SumRows<Total, Term, To>{term, rows, rows_per_slice, columns, to});
    };
    if (parts == 1) return sum_into(finish);
    sum_into(detail::StoreSums<count, Total>{partials, size});
    finish_slices<count>(execution, parts, size, partials, finish);
}

/// result[value][index] = Σ over `rows` of term(row, index); see finish_rows.
template <class Total, class Term, class Result>
void sum_over_rows(const Execution& execution, Index rows, Index size, const Term& term, Total* partials,
                   Result* result) {
    using Store = detail::StoreSums<detail::value_count<detail::Given<Term>>, Result>;
    finish_rows(execution, rows, size, term, partials, Store{result, size});
}

/// The same sums with one thread for every element and part, in another order: what those in blocks are held
/// against.
template <class Total, class Term, class Result>
void sum_over_rows_by_element(const Execution& execution, Index rows, Index size, const Term& term, Total* partials,
                              Result* result) {
    const Index parts = std::min(rows, max_slices);
    const Index columns = detail::value_count<detail::Given<Term>> * size;
    for_each_index(execution, parts * size, detail::SumOfSlice<Total, Term>{term, rows, parts, size, partials});
    for_each_index(execution, columns, detail::SumOfSlices<Total, Result>{partials, parts, columns, result});
}

/// output[row][index] = column(index)(row) for index below `size`: what belongs to a column is found once for
/// several rows.
template <class S, class Column>
void write_rows(const Execution& execution, Index rows, Index size, const Column& column, S* output) {
    const detail::WriteRows<Column, S> kernel{column, rows, detail::ColumnPieces::of(size), output};
    run_blocks(execution, ceil_div(rows, kernel.rows_per_block()) * kernel.columns.pieces, kernel);
}

}  // namespace bantam::cuda
