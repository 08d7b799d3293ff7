// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/division.hpp>
#include <bantam/base/host_device.hpp>
#include <bantam/base/index.hpp>
#include <bantam/cuda/kernels/epilogue.hpp>
#include <bantam/cuda/kernels/row_reduction.hpp>
#include <bantam/cuda/runtime/thread_block.hpp>
#include <bantam/cuda/runtime/vector_access.hpp>

namespace bantam::cuda::detail {

// How the tiles of a matrix product move: operands from a source to shared memory, results from registers or shared
// memory to an epilogue, and the epilogue's sums to memory. Thread blocks have `block_threads` threads.

/// Adjacent columns of the result that a thread hands to the epilogue.
inline constexpr int cols_per_thread = 4;

/// Loads a tile of Rows × Cols from row `row` on: `columns(first)` gives a source's `VectorWidth` adjacent columns, for
/// columns below `col_limit`; `store(i, first, values)` writes row i of the tile. Rows from `end` on and columns from
/// `col_limit` on are zero.
template <class ComputeType, int Rows, int Cols, int VectorWidth, class Columns, class Store>
BANTAM_HOST_DEVICE void load_tile(int thread, Index row, Index end, int col_limit, const Columns& columns,
                                  const Store& store) {
    constexpr int vectors = Cols / VectorWidth, thread_rows = block_threads / vectors;
    constexpr int unroll = (Rows + thread_rows - 1) / thread_rows;
    static_assert(Cols % VectorWidth == 0 && vectors <= block_threads);
    const int first = thread % vectors * VectorWidth, thread_row = thread / vectors;
    if (thread_row >= thread_rows) return;
    ComputeType values[unroll][VectorWidth] = {};
    if (first < col_limit) {
        const auto source = columns(first);
        BANTAM_CUDA_UNROLL
        for (int step = 0; step < unroll; ++step) {
            const int i = thread_row + step * thread_rows;
            if (i < Rows && row + i < end) source.load(row + i, values[step]);
        }
    }
    BANTAM_CUDA_UNROLL
    for (int step = 0; step < unroll; ++step)
        if (thread_row + step * thread_rows < Rows) store(thread_row + step * thread_rows, first, values[step]);
}

/// Rounds values to T and stores them with one instruction.
template <class T, class ComputeType, int Count>
BANTAM_HOST_DEVICE void store_vector(const ComputeType (&values)[Count], T* to) {
    AlignedVector<T, Count> vector;
    BANTAM_CUDA_UNROLL
    for (int j = 0; j < Count; ++j) vector.values[j] = T(values[j]);
    *reinterpret_cast<AlignedVector<T, Count>*>(to) = vector;
}

/// load_tile into shared memory: to[row][column], with rows `Stride` elements apart.
template <class ComputeType, int Rows, int Cols, int VectorWidth, int Stride, class Columns, class T>
BANTAM_HOST_DEVICE void load_shared_tile(int thread, Index row, Index end, int col_limit, const Columns& columns,
                                         T* to) {
    load_tile<ComputeType, Rows, Cols, VectorWidth>(
        thread, row, end, col_limit, columns,
        [&](int i, int first, const auto& values) { store_vector(values, to + i * Stride + first); });
}

/// Hands a thread's `Rows` × 4 results to the epilogue, `Unroll` rows at a time. `values_at(i)` gives the four values
/// of the thread's row i, `row_of(i)` that row's index in the map, or `end` if there is none. `column` is the first of
/// the four among the product's `Size` columns, which are the epilogue's channels from `channel` on. Adds to
/// sums[sum][4].
template <int Size, int Rows, int Unroll, class Epilogue, class RowOf, class ValuesAt>
BANTAM_HOST_DEVICE void store_tile(const Epilogue& epilogue, int channel, int column, Index end, const RowOf& row_of,
                                   const ValuesAt& values_at, Compute<typename Epilogue::Scalar>* sums) {
    using ComputeType = Compute<typename Epilogue::Scalar>;
    if constexpr (Size % cols_per_thread == 0) {
        if (column >= Size) return;
        const auto columns = epilogue.template columns<cols_per_thread>(channel + column);
        BANTAM_CUDA_ROLLED
        for (int first = 0; first < Rows; first += Unroll) {
            BANTAM_CUDA_UNROLL
            for (int i = first; i < first + Unroll; ++i)
                if (row_of(i) < end) {
                    auto values = values_at(i);
                    columns.store(row_of(i), values.values, sums);
                }
        }
    } else {
        BANTAM_CUDA_UNROLL
        for (int j = 0; j < cols_per_thread; ++j) {
            if (column + j >= Size) continue;
            const auto columns = epilogue.template columns<1>(channel + column + j);
            BANTAM_CUDA_ROLLED
            for (int first = 0; first < Rows; first += Unroll) {
                BANTAM_CUDA_UNROLL
                for (int i = first; i < first + Unroll; ++i) {
                    if (row_of(i) >= end) continue;
                    ComputeType value = values_at(i).values[j], sums_of_column[sum_array_size<Epilogue>] = {};
                    columns.store(row_of(i), &value, sums_of_column);
                    BANTAM_CUDA_UNROLL
                    for (int v = 0; v < Epilogue::sum_count; ++v) sums[v * cols_per_thread + j] += sums_of_column[v];
                }
            }
        }
    }
}

/// store_tile from shared memory: results[TileRows][TileCols], with rows `Stride` floats apart, of the map's rows from
/// `row` on.
template <int Size, int TileRows, int TileCols, int Stride, class Epilogue>
BANTAM_HOST_DEVICE void store_shared_tile(const Epilogue& epilogue, int channel, int first_column, int thread,
                                          Index row, Index end, const float* results, float* sums) {
    constexpr int thread_cols = TileCols / cols_per_thread, thread_rows = block_threads / thread_cols;
    constexpr int unroll = 4, rows = static_cast<int>(ceil_div(TileRows, unroll * thread_rows)) * unroll;
    if (thread >= thread_cols * thread_rows) return;
    const int thread_row = thread / thread_cols, column = thread % thread_cols * cols_per_thread;
    store_tile<Size, rows, unroll>(
        epilogue, channel, first_column + column, end,
        [&](int i) {
            const int tile_row = thread_row + i * thread_rows;
            return tile_row < TileRows ? row + tile_row : end;
        },
        [&](int i) {
            return *reinterpret_cast<const AlignedVector<float, cols_per_thread>*>(
                results + (thread_row + i * thread_rows) * Stride + column);
        },
        sums);
}

/// Adds up the epilogue's sums of a block's threads, `ThreadCols` to a row, and stores them:
/// to[slice][sum][channel]. `totals` is shared memory for 4 · sum_count doubles per thread.
template <int Size, int ThreadCols, class Epilogue, class Block, class ThreadSums>
BANTAM_HOST_DEVICE void store_epilogue_sums(const Block& block, int channel, int column, Index slice,
                                            ThreadSums& thread_sums, double* totals, double* to) {
    if constexpr (Epilogue::sum_count > 0) {
        constexpr int count = cols_per_thread * Epilogue::sum_count;
        block.for_each_thread([&](int thread) {
            BANTAM_CUDA_UNROLL
            for (int v = 0; v < count; ++v) totals[v * block_threads + thread] = thread_sums[thread].values[v];
        });
        reduce_thread_rows<count>(block, ThreadCols, block_threads / ThreadCols, totals);
        block.for_each_thread([&](int thread) {
            if (thread >= ThreadCols) return;
            const int first = column + thread * cols_per_thread;
            BANTAM_CUDA_UNROLL
            for (int v = 0; v < count; ++v)
                if (first + v % cols_per_thread < Size)
                    to[(slice * Epilogue::sum_count + v / cols_per_thread) * Epilogue::channels + channel + first +
                       v % cols_per_thread] = totals[v * block_threads + thread];
        });
    }
}

}  // namespace bantam::cuda::detail
