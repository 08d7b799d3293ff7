// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/bfloat16.hpp>
#include <bantam/base/division.hpp>
#include <bantam/base/host_device.hpp>
#include <bantam/base/index.hpp>
#include <bantam/cuda/runtime/batch_slices.hpp>
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

/// Adds term(row, column) of every `step`-th of the rows, from the `first`-th on.
template <int Unroll, class Term, class Total>
BANTAM_HOST_DEVICE void add_rows(const Term& term, const IndexRange& rows, int first, int step, Index column,
                                 Total* sums) {
    const auto add = [&](const TermResult<Term>& values) {
        BANTAM_CUDA_UNROLL
        for (int v = 0; v < value_count<TermResult<Term>>; ++v) sums[v] += static_cast<Total>(value_at(values, v));
    };
    Index row = rows.begin + first;
    for (; row + (Unroll - 1) * step < rows.end; row += Unroll * step) {
        TermResult<Term> values[Unroll];
        BANTAM_CUDA_UNROLL
        for (int j = 0; j < Unroll; ++j) values[j] = term(row + j * step, column);
        BANTAM_CUDA_UNROLL
        for (int j = 0; j < Unroll; ++j) add(values[j]);
    }
    for (; row < rows.end; row += step) add(term(row, column));
}

/// to[slice][value][column] = sums[value]
template <int Count, class Result_>
struct StoreSums {
    using Result = Result_;
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
    BatchSlices slices;
    ColumnTiles tiles;
    Store store;

    template <class Block>
    BANTAM_HOST_DEVICE void operator()(const Block& block, Shared& shared) const {
        const auto index = static_cast<std::uint32_t>(block.index());
        const std::uint32_t slice = index / tiles.count, tile = index % tiles.count;
        block.for_each_thread([&](int thread) {
            const ThreadPosition at{tiles, tile, thread};
            Total sums[count]{};
            if (at.inside) add_rows<unroll>(term, slices[slice], at.thread_row, tiles.thread_rows, at.column, sums);
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
};

/// The type in which Store keeps the sum of a chunk.
template <class Store>
struct ChunkSum {
    using type = double;
};
template <class Store>
    requires requires { typename Store::Result; }
struct ChunkSum<Store> {
    using type = typename Store::Result;
};

/// store(0, column, sums), where sums[value] = Σ over all rows of term(row, column): those of each chunk first, rounded
/// to what `Store` keeps, then the chunks in order. With `per_chunk`, store(chunk, column, sums) for each chunk. A
/// thread block adds all rows of its columns.
template <class Term, class Store>
struct ChunkReduction {
    static constexpr int threads = block_threads;
    static constexpr int count = value_count<TermResult<Term>>;
    static constexpr int unroll = 4;
    using Sum = typename ChunkSum<Store>::type;
    struct Shared {
        double totals[count * threads];
    };

    Term term;
    BatchSlices chunks;  // one slice per chunk
    ColumnTiles tiles;
    Store store;
    bool per_chunk;

    /// Thread rows that add the rows of one chunk. They do not depend on which chunks this process has.
    BANTAM_HOST_DEVICE int rows_of_chunk() const {
        const auto all = static_cast<int>(chunk_count(chunks.part.samples));
        return tiles.thread_rows / (all > 0 ? all : 1);
    }

    template <class Block>
    BANTAM_HOST_DEVICE void operator()(const Block& block, Shared& shared) const {
        const auto tile = static_cast<std::uint32_t>(block.index());
        const int thread_rows = rows_of_chunk();
        const auto chunk_number = static_cast<int>(chunks.count());
        block.for_each_thread([&](int thread) {
            const ThreadPosition at{tiles, tile, thread};
            const int chunk = at.thread_row / thread_rows;
            double sums[count]{};
            if (at.inside && chunk < chunk_number)
                add_rows<unroll>(term, chunks[chunk], at.thread_row % thread_rows, thread_rows, at.column, sums);
            BANTAM_CUDA_UNROLL
            for (int v = 0; v < count; ++v) shared.totals[v * threads + thread] = sums[v];
        });
        for (int left = thread_rows; left > 1; left = (left + 1) / 2) {
            const int half = (left + 1) / 2;
            block.for_each_thread([&](int thread) {
                const int row = thread / tiles.width;
                if (row >= thread_rows * chunk_number || row % thread_rows >= left - half) return;
                BANTAM_CUDA_UNROLL
                for (int v = 0; v < count; ++v)
                    shared.totals[v * threads + thread] += shared.totals[v * threads + thread + half * tiles.width];
            });
        }
        block.for_each_thread([&](int thread) {
            const ThreadPosition at{tiles, tile, thread};
            const int chunk = at.thread_row / thread_rows;
            if (!at.inside || at.thread_row % thread_rows > 0 || chunk > (per_chunk ? chunk_number - 1 : 0)) return;
            double sums[count]{};
            for (int of = per_chunk ? chunk : 0; of < (per_chunk ? chunk + 1 : chunk_number); ++of) {
                BANTAM_CUDA_UNROLL
                for (int v = 0; v < count; ++v)
                    sums[v] += static_cast<double>(static_cast<Sum>(
                        shared.totals[v * threads + of * thread_rows * tiles.width + thread % tiles.width]));
            }
            store(chunk, at.column, sums);
        });
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

/// Adds the rows of each chunk, and the chunks unless `per_chunk`; see ChunkReduction.
template <class Term, class Store>
void reduce_chunks(const Execution& execution, const BatchSlices& chunks, Index size, const Term& term,
                   const Store& store, bool per_chunk) {
    // There is little to read and the next kernel needs the result: narrow tiles give many thread rows with few rows
    // each.
    const auto tiles = ColumnTiles::of(size, 8);
    run_blocks(execution, tiles.count, ChunkReduction<Term, Store>{term, chunks, tiles, store, per_chunk});
}

/// The same for the slices of each chunk, as they are in `partials` [slice][value][column].
template <int Count, class Total, class Store>
void reduce_slices(const Execution& execution, const BatchPart& part, Index slices, Index size, const Total* partials,
                   const Store& store, bool per_chunk) {
    const Index own = std::max<Index>(1, part.chunks.count());
    // Each chunk as a sample, and its slices as rows.
    const BatchPart chunks{chunk_count(part.samples), part.chunks};
    reduce_chunks(execution, BatchSlices::chunks_of(chunks, slices / own), size,
                  SliceTerm<Count, Total>{partials, size}, store, per_chunk);
}

/// The same for rows of samples, in one pass or two. `partials` is memory for max_slices · values · size totals.
template <class Total, class Term, class Store>
void reduce_rows(const Execution& execution, const BatchPart& part, Index rows_per_sample, Index size, const Term& term,
                 Total* partials, const Store& store, bool per_chunk) {
    constexpr int count = value_count<TermResult<Term>>;
    constexpr Index min_rows_per_thread = 8;  // fewer do not pay for the slices' partial sums
    const BatchSlices chunks = BatchSlices::chunks_of(part, rows_per_sample);
    if (chunks.rows_per_slice * chunk_count(part.samples) <=
        min_rows_per_thread * block_threads / std::min<Index>(size, 8))
        return reduce_chunks(execution, chunks, size, term, store, per_chunk);
    const auto tiles = ColumnTiles::of(size);
    const BatchSlices slices = BatchSlices::of(part, rows_per_sample, min_rows_per_thread * tiles.thread_rows);
    using ToPartials = StoreSums<count, Total>;
    run_blocks(execution, slices.count() * tiles.count,
               RowReduction<Total, Term, ToPartials>{term, slices, tiles, ToPartials{partials, size}});
    reduce_slices<count>(execution, part, slices.count(), size, partials, store, per_chunk);
}

}  // namespace detail

/// result[value][column] = Σ over `rows` of term(row, column), on this device alone: a scalar or Values per
/// row. `partials` is memory for max_slices · values · size totals.
template <class Total, class Term, class Result>
void sum_over_rows(const Execution& execution, Index rows, Index size, const Term& term, Total* partials,
                   Result* result) {
    detail::reduce_rows(execution, BatchPart::whole(1), rows, size, term, partials,
                        detail::StoreSums<detail::value_count<detail::TermResult<Term>>, Result>{result, size}, false);
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
