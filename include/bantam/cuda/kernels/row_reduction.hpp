// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/bfloat16.hpp>
#include <bantam/base/division.hpp>
#include <bantam/base/host_device.hpp>
#include <bantam/base/index.hpp>
#include <bantam/cuda/runtime/execution.hpp>
#include <bantam/cuda/runtime/operation.hpp>
#include <bantam/cuda/runtime/thread_block.hpp>

#include <algorithm>
#include <cstdint>
#include <type_traits>

namespace bantam::cuda {

// Maps are matrices [rows][size], mostly [positions][channels]. The threads of a block form a grid of `thread_rows` by
// `width`: neighboring threads take neighboring columns, so that their loads coalesce, and the thread rows take
// different rows of the matrix.

namespace detail {

inline constexpr int block_threads = 256;

template <class T>
inline constexpr int value_count = 1;
template <class S, int Count>
inline constexpr int value_count<Values<S, Count>> = Count;

template <class S>
BANTAM_HOST_DEVICE S value_at(const S& value, int) {
    return value;
}
template <class S, int Count>
BANTAM_HOST_DEVICE S value_at(const Values<S, Count>& values, int i) {
    return values.values[i];
}

/// What `term(row, column)` returns: a scalar or Values.
template <class Term>
using TermResult = std::invoke_result_t<const Term&, Index, Index>;

/// Columns split evenly into tiles of at most a warp's width; a thread block works on one tile.
struct ColumnTiles {
    Index size;
    std::uint32_t count;
    int width, thread_rows;

    static ColumnTiles of(Index size, Index max_width = warp_threads) {
        const auto width = static_cast<int>(even_split(size, max_width));
        return {size, static_cast<std::uint32_t>(ceil_div(size, max_width)), width, block_threads / width};
    }
};

/// A thread's column and its row in the grid of threads.
struct ThreadPosition {
    Index column;
    int thread_row;
    bool inside;

    BANTAM_HOST_DEVICE ThreadPosition(const ColumnTiles& tiles, std::uint32_t tile, int thread)
        : column{static_cast<Index>(tile) * tiles.width + thread % tiles.width},
          thread_row{thread / tiles.width},
          inside{thread_row < tiles.thread_rows && column < tiles.size} {}
};

/// Sums over the thread rows of a block, halving their number in a fixed order; thread row 0 holds the sums.
/// Value v of thread t is at totals[v · block_threads + t].
template <int Count, class Block, class Total>
BANTAM_HOST_DEVICE void reduce_thread_rows(const Block& block, int width, int thread_rows, Total* totals) {
    while (thread_rows > 1) {
        const int half = (thread_rows + 1) / 2;
        block.for_each_thread([&](int thread) {
            if (thread >= (thread_rows - half) * width) return;
            BANTAM_CUDA_UNROLL
            for (int v = 0; v < Count; ++v)
                totals[v * block_threads + thread] += totals[v * block_threads + thread + half * width];
        });
        thread_rows = half;
    }
}

/// to[slice][value][column] = sums[value]
template <int Count, class Result>
struct StoreSums {
    Result* to;
    Index size;
    template <class Total>
    BANTAM_HOST_DEVICE void operator()(Index slice, Index column, const Total* sums) const {
        BANTAM_CUDA_UNROLL
        for (int v = 0; v < Count; ++v) to[(slice * Count + v) * size + column] = static_cast<Result>(sums[v]);
    }
};

/// store(slice, column, sums), where sums[value] = Σ over the slice's rows of term(row, column).
template <class Total, class Term, class Store>
struct RowReduction {
    static constexpr int threads = block_threads;
    static constexpr int count = value_count<TermResult<Term>>;
    static constexpr int unroll = 4;  // rows that a thread loads before it adds them, to keep more loads in flight
    struct Shared {
        Total totals[count * threads];
    };

    Term term;
    Index rows, rows_per_slice;
    ColumnTiles tiles;
    Store store;

    template <class Block>
    BANTAM_HOST_DEVICE void operator()(const Block& block, Shared& shared) const {
        const auto index = static_cast<std::uint32_t>(block.index());
        const std::uint32_t slice = index / tiles.count, tile = index % tiles.count;
        block.for_each_thread([&](int thread) {
            const ThreadPosition at{tiles, tile, thread};
            Total sums[count]{};
            if (at.inside) add_rows(slice * rows_per_slice, at, sums);
            BANTAM_CUDA_UNROLL
            for (int v = 0; v < count; ++v) shared.totals[v * threads + thread] = sums[v];
        });
        reduce_thread_rows<count>(block, tiles.width, tiles.thread_rows, shared.totals);
        block.for_each_thread([&](int thread) {
            const ThreadPosition at{tiles, tile, thread};
            if (at.thread_row > 0 || !at.inside) return;
            Total sums[count];
            BANTAM_CUDA_UNROLL
            for (int v = 0; v < count; ++v) sums[v] = shared.totals[v * threads + thread];
            store(slice, at.column, sums);
        });
    }

private:
    BANTAM_HOST_DEVICE void add_rows(Index begin, const ThreadPosition& at, Total* sums) const {
        const auto add = [&](const TermResult<Term>& values) {
            BANTAM_CUDA_UNROLL
            for (int v = 0; v < count; ++v) sums[v] += static_cast<Total>(value_at(values, v));
        };
        const Index end = begin + rows_per_slice < rows ? begin + rows_per_slice : rows;
        Index row = begin + at.thread_row;
        for (; row + (unroll - 1) * tiles.thread_rows < end; row += unroll * tiles.thread_rows) {
            TermResult<Term> values[unroll];
            BANTAM_CUDA_UNROLL
            for (int j = 0; j < unroll; ++j) values[j] = term(row + j * tiles.thread_rows, at.column);
            BANTAM_CUDA_UNROLL
            for (int j = 0; j < unroll; ++j) add(values[j]);
        }
        for (; row < end; row += tiles.thread_rows) add(term(row, at.column));
    }
};

/// output[row][index] = column(index)(row)
template <class Column, class S>
struct WriteRows {
    static constexpr int threads = block_threads;
    static constexpr int unroll = 8;  // as above
    struct Shared {};

    Column column;
    Index rows;
    ColumnTiles tiles;
    S* output;

    Index rows_per_block() const { return unroll * tiles.thread_rows; }

    template <class Block>
    BANTAM_HOST_DEVICE void operator()(const Block& block, Shared&) const {
        const auto index = static_cast<std::uint32_t>(block.index());
        block.for_each_thread([&](int thread) {
            const ThreadPosition at{tiles, index % tiles.count, thread};
            if (!at.inside) return;
            const auto value_of = column(at.column);
            const Index row = Index{index / tiles.count} * (unroll * tiles.thread_rows) + at.thread_row;
            S values[unroll]{};
            BANTAM_CUDA_UNROLL
            for (int j = 0; j < unroll; ++j)
                if (row + j * tiles.thread_rows < rows) values[j] = S(value_of(row + j * tiles.thread_rows));
            BANTAM_CUDA_UNROLL
            for (int j = 0; j < unroll; ++j)
                if (row + j * tiles.thread_rows < rows)
                    output[(row + j * tiles.thread_rows) * tiles.size + at.column] = values[j];
        });
    }
};

/// A term: the partial sums of a slice, partials[slice][value][column].
template <int Count, class Total>
struct SliceTerm {
    const Total* partials;
    Index size;
    BANTAM_HOST_DEVICE Values<Total, Count> operator()(Index slice, Index column) const {
        Values<Total, Count> sums;
        BANTAM_CUDA_UNROLL
        for (int v = 0; v < Count; ++v) sums.values[v] = partials[(slice * Count + v) * size + column];
        return sums;
    }
};

}  // namespace detail

/// Calls store(0, column, sums) for every column below `size`, where sums[value] = Σ over the slices of
/// partials[slice][value][column].
template <int Count, class Total, class Store>
void reduce_slices(const Execution& execution, Index slices, Index size, const Total* partials, const Store& store) {
    using Term = detail::SliceTerm<Count, Total>;
    // There is little to read and the next kernel needs the result: narrow tiles give many thread rows with few slices
    // each.
    const auto tiles = detail::ColumnTiles::of(size, 8);
    run_blocks(execution, tiles.count,
               detail::RowReduction<double, Term, Store>{Term{partials, size}, slices, slices, tiles, store});
}

/// result[column] = Σ over the slices of partials[slice][column], for every column below `size`.
template <class Total, class Result>
void sum_slices(const Execution& execution, Index slices, Index size, const Total* partials, Result* result) {
    reduce_slices<1>(execution, slices, size, partials, detail::StoreSums<1, Result>{result, size});
}

/// Calls store(0, column, sums) for every column below `size`, where sums[value] = Σ over `rows` of
/// term(row, column), a scalar or Values. `partials` is memory for max_slices · values · size totals.
template <class Total, class Term, class Store>
void reduce_rows(const Execution& execution, Index rows, Index size, const Term& term, Total* partials,
                 const Store& store) {
    constexpr int count = detail::value_count<detail::TermResult<Term>>;
    constexpr Index min_rows_per_thread = 8;  // fewer do not pay for the slice's partial sums
    const auto tiles = detail::ColumnTiles::of(size);
    const Index rows_per_slice = std::max(min_rows_per_thread * tiles.thread_rows, ceil_div(rows, max_slices));
    const Index slices = std::max<Index>(1, ceil_div(rows, rows_per_slice));
    const auto reduce_into = [&](const auto& to) {
        using To = std::remove_cvref_t<decltype(to)>;
        run_blocks(execution, slices * tiles.count,
                   detail::RowReduction<Total, Term, To>{term, rows, rows_per_slice, tiles, to});
    };
    if (slices == 1) return reduce_into(store);
    reduce_into(detail::StoreSums<count, Total>{partials, size});
    reduce_slices<count>(execution, slices, size, partials, store);
}

/// result[value][column] = Σ over `rows` of term(row, column); arguments as in reduce_rows.
template <class Total, class Term, class Result>
void sum_over_rows(const Execution& execution, Index rows, Index size, const Term& term, Total* partials,
                   Result* result) {
    using Store = detail::StoreSums<detail::value_count<detail::TermResult<Term>>, Result>;
    reduce_rows(execution, rows, size, term, partials, Store{result, size});
}
template <class S, class Total, class Term, class Result>
void sum_over_rows(const Pass<S>& pass, Index rows, Index size, const Term& term, Total* partials, Result* result) {
    sum_over_rows(*pass.execution, rows, size, term, partials, result);
}

/// output[row][index] = column(index)(row) for every index below `size`: column(index) loads what is constant in a
/// column once for several rows.
template <class S, class Column>
void write_rows(const Execution& execution, Index rows, Index size, const Column& column, S* output) {
    const detail::WriteRows<Column, S> kernel{column, rows, detail::ColumnTiles::of(size), output};
    run_blocks(execution, ceil_div(rows, kernel.rows_per_block()) * kernel.tiles.count, kernel);
}
template <class S, class Column>
void write_rows(const Pass<S>& pass, Index rows, Index size, const Column& column, S* output) {
    write_rows(*pass.execution, rows, size, column, output);
}

}  // namespace bantam::cuda
