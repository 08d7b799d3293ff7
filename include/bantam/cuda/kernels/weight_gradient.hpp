// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/bfloat16.hpp>
#include <bantam/base/division.hpp>
#include <bantam/base/host_device.hpp>
#include <bantam/base/index.hpp>
#include <bantam/cuda/kernels/batch_sums.hpp>
#include <bantam/cuda/kernels/implicit_gemm.hpp>
#include <bantam/cuda/kernels/source.hpp>
#include <bantam/cuda/kernels/tensor_core_tiles.hpp>
#include <bantam/cuda/kernels/tile_transfer.hpp>
#include <bantam/cuda/runtime/operation.hpp>

#include <algorithm>
#include <type_traits>

namespace bantam::cuda {

// The weight gradient of a convolution as a matrix product: gradient[n][k] = Σ over rows of output_gradient(row, n) ·
// A(row, k), where A is the A operand of the forward product. The rows are split into slices, each summed by thread
// blocks of its own; the slices are then added in a fixed order.

/// Slices for a gradient of [groups · size][depth]: fewer where the gradient itself has many tiles, since they also
/// give a GPU thread blocks, but one per chunk at least.
constexpr Index weight_gradient_slices(Index size, Index groups, Index depth) {
    const Index tiles = ceil_div(size, detail::max_tile_cols) * ceil_div(depth, detail::max_tile_cols) * groups;
    return std::clamp<Index>(2 * max_slices / tiles, max_chunks, max_slices);
}
/// `partial_size` of an operation with such a gradient.
constexpr Index weight_gradient_partial_size(Index size, Index groups, Index depth) {
    return ceil_div(size * groups * depth * weight_gradient_slices(size, groups, depth), max_slices);
}

namespace detail {

/// What the weight gradient kernels share: the tiles [TileN][TileK] of the gradient [Size][depth] of each group. A
/// thread block computes one tile over one slice of the rows.
template <class Gradient_, class A_, int Size, int Groups, int MultipleN, int MultipleK>
struct WeightGradientTiles {
    using Gradient = Gradient_;
    using A = A_;
    using ComputeType = typename A::ComputeType;
    static constexpr int threads = block_threads;
    static constexpr int depth = A::depth;
    static constexpr int tile_n = tile_cols_for<MultipleN>(Size), tile_k = tile_cols_for<MultipleK>(depth);
    static constexpr int tiles_n = static_cast<int>(ceil_div(Size, tile_n));
    static constexpr int tiles_k = static_cast<int>(ceil_div(depth, tile_k));
    static constexpr int tiles = tiles_n * tiles_k * Groups;
    static_assert(Size * Groups == Gradient::channels);

    Gradient output_gradient;
    A a;
    BatchSlices slices;
    ComputeType* partials;  ///< [slice][group · Size + n][k]

    Index blocks() const { return slices.count() * tiles; }

protected:
    /// The tile and the rows of a thread block.
    struct BlockTile {
        int group, n, k;  // n and k of the tile's first element
        Index slice, begin, end;
        BANTAM_HOST_DEVICE BlockTile(const WeightGradientTiles& gemm, Index index) {
            slice = index / tiles;
            const int tile = static_cast<int>(index - slice * tiles);
            group = tile / (tiles_n * tiles_k);
            n = tile / tiles_k % tiles_n * tile_n;
            k = tile % tiles_k * tile_k;
            const IndexRange rows = gemm.slices[slice];
            begin = rows.begin;
            end = rows.end;
        }
    };

    /// Loads `TileRows` rows of both operands from `row` on into shared memory, rounded to T.
    template <int TileRows, int StrideN, int StrideK, class T>
    BANTAM_HOST_DEVICE void load_operands(const BlockTile& tile, int thread, Index row, T* gradient_tile,
                                          T* a_tile) const {
        constexpr int gradient_width = max_vector_width<typename Gradient::Scalar>(Size);
        load_shared_tile<ComputeType, TileRows, tile_n, gradient_width, StrideN>(
            thread, row, tile.end, Size - tile.n,
            [&](int first) {
                return output_gradient.template columns<gradient_width>(tile.group * Size + tile.n + first);
            },
            gradient_tile);
        load_shared_tile<ComputeType, TileRows, tile_k, A::vector_width, StrideK>(
            thread, row, tile.end, depth - tile.k,
            [&](int first) { return a.template columns<A::vector_width>(tile.group, tile.k + first); }, a_tile);
    }

    BANTAM_HOST_DEVICE void store(const BlockTile& tile, int n, int k, double sum) const {
        if (tile.n + n < Size && tile.k + k < depth)
            partials[(tile.slice * Groups * Size + tile.group * Size + tile.n + n) * depth + tile.k + k] =
                static_cast<ComputeType>(sum);
    }
};

/// How a block's warps compute a tile [TileN][TileK] of a weight gradient on tensor cores: a warp accumulates 16 rows
/// of the tile, and warps beyond TileN / 16 take other rows of the map (`row_slices`).
template <class T, int TileN, int TileK>
struct WeightGradientWarps {
    static constexpr int side = 16;
    static constexpr int warps = block_threads / warp_threads;
    static constexpr int tile_warps = std::min(warps, TileN / side), row_slices = warps / tile_warps;
    using Tiles = TensorCoreTiles<T, TileK / side>;
    // Padding of 16 bytes puts consecutive rows into different banks.
    static constexpr int padding = 16 / static_cast<int>(sizeof(T));
    static constexpr int stride_n = TileN + padding, stride_k = TileK + padding, result_stride = TileK + 4;
    static constexpr int result_size = row_slices * TileN * result_stride;

    BANTAM_HOST_DEVICE static constexpr bool has_work(int warp) { return warp < tile_warps * row_slices; }

    /// tiles += gradientᵀ · a, over the warp's share of `TileRows` rows in shared memory.
    template <int TileRows>
    BANTAM_HOST_DEVICE static void multiply_add(int warp, const T* gradient, const T* a, Tiles& tiles) {
        if (!has_work(warp)) return;
        BANTAM_CUDA_UNROLL
        for (int step = 0; step < TileRows; step += row_slices * Tiles::depth) {
            const int i = step + warp / tile_warps * Tiles::depth;
            tiles.template multiply_add<true, false>(gradient + i * stride_n + warp % tile_warps * side, stride_n,
                                                     a + i * stride_k, stride_k);
        }
    }
    /// results[row_slice][TileN][TileK] = the warp's accumulators.
    BANTAM_HOST_DEVICE static void store(int warp, const Tiles& tiles, float* results) {
        if (has_work(warp)) tiles.store(results + warp * side * result_stride, result_stride);
    }
    /// store(n, k, sum over the row slices), for n below `Rows` and k below `Cols`.
    template <int Rows, int Cols, class Store>
    BANTAM_HOST_DEVICE static void reduce(int thread, const float* results, const Store& store) {
        for (int i = thread; i < Rows * Cols; i += block_threads) {
            const int n = i / Cols, k = i % Cols;
            double sum = 0;
            for (int slice = 0; slice < row_slices; ++slice)
                sum += static_cast<double>(results[(slice * TileN + n) * result_stride + k]);
            store(n, k, sum);
        }
    }
};

}  // namespace detail

/// The weight gradient by multiply-adds: a thread accumulates a tile of 8×4 in registers over its share of the rows.
template <class Gradient, class A, int Size, int Groups = 1>
struct WeightGradient : detail::WeightGradientTiles<Gradient, A, Size, Groups, 8, 4> {
    using Base = detail::WeightGradientTiles<Gradient, A, Size, Groups, 8, 4>;
    using Base::threads, Base::tile_k, Base::tile_n;
    using typename Base::BlockTile, typename Base::ComputeType;
    static constexpr int min_blocks_per_multiprocessor = 2;
    static constexpr int rows_per_thread = 8, cols_per_thread = 4;
    static constexpr int thread_cols = tile_k / cols_per_thread;
    static constexpr int tile_threads = thread_cols * (tile_n / rows_per_thread);
    static constexpr int row_slices = threads / tile_threads;  ///< thread groups that take different rows of the map
    static constexpr int tile_rows = static_cast<int>(ceil_div(32, row_slices)) * row_slices;
    static constexpr int stride_n = tile_n + 4, stride_k = tile_k + 4;
    struct Operands {
        alignas(16) ComputeType gradient[tile_rows * stride_n];
        alignas(16) ComputeType a[tile_rows * stride_k];
    };
    union Shared {
        Operands operands;
        double totals[cols_per_thread * threads];
    };

    template <class Block>
    BANTAM_HOST_DEVICE void operator()(const Block& block, Shared& shared) const {
        const BlockTile tile{*this, block.index()};
        auto accumulators = block.template per_thread<Values<ComputeType, rows_per_thread * cols_per_thread>>();
        for (Index row = tile.begin; row < tile.end; row += tile_rows) {
            block.for_each_thread([&](int thread) {
                this->template load_operands<tile_rows, stride_n, stride_k>(tile, thread, row, shared.operands.gradient,
                                                                            shared.operands.a);
            });
            block.for_each_thread([&](int thread) {
                if (thread >= tile_threads * row_slices) return;
                multiply_add(shared.operands, thread % tile_threads, thread / tile_threads,
                             accumulators[thread].values);
            });
        }
        BANTAM_CUDA_UNROLL
        for (int i = 0; i < rows_per_thread; ++i) {
            block.for_each_thread([&](int thread) {
                BANTAM_CUDA_UNROLL
                for (int j = 0; j < cols_per_thread; ++j)
                    shared.totals[j * threads + thread] = accumulators[thread].values[i * cols_per_thread + j];
            });
            detail::reduce_thread_rows<cols_per_thread>(block, tile_threads, row_slices, shared.totals);
            block.for_each_thread([&](int thread) {
                if (thread >= tile_threads) return;
                BANTAM_CUDA_UNROLL
                for (int j = 0; j < cols_per_thread; ++j)
                    this->store(tile, thread / thread_cols * rows_per_thread + i,
                                thread % thread_cols * cols_per_thread + j, shared.totals[j * threads + thread]);
            });
        }
    }

private:
    BANTAM_HOST_DEVICE static void multiply_add(const Operands& operands, int tile_thread, int row_slice,
                                                ComputeType* accumulators) {
        const ComputeType* gradient = operands.gradient + tile_thread / thread_cols * rows_per_thread;
        const ComputeType* a = operands.a + tile_thread % thread_cols * cols_per_thread;
        BANTAM_CUDA_UNROLL
        for (int step = 0; step < tile_rows / row_slices; ++step) {
            const int i = row_slice + step * row_slices;
            const auto gradient_values =
                *reinterpret_cast<const AlignedVector<ComputeType, rows_per_thread>*>(gradient + i * stride_n);
            const auto a_values =
                *reinterpret_cast<const AlignedVector<ComputeType, cols_per_thread>*>(a + i * stride_k);
            BANTAM_CUDA_UNROLL
            for (int n = 0; n < rows_per_thread; ++n) {
                BANTAM_CUDA_UNROLL
                for (int k = 0; k < cols_per_thread; ++k)
                    accumulators[n * cols_per_thread + k] += gradient_values.values[n] * a_values.values[k];
            }
        }
    }
};

/// The weight gradient on tensor cores: operands rounded to `T`, accumulators in float.
template <class T, class Gradient, class A, int Size, int Groups = 1>
struct TensorCoreWeightGradient : detail::WeightGradientTiles<Gradient, A, Size, Groups, 16, 16> {
    using Base = detail::WeightGradientTiles<Gradient, A, Size, Groups, 16, 16>;
    using Base::threads, Base::tile_k, Base::tile_n;
    using typename Base::BlockTile;
    static_assert(std::is_same_v<typename Base::ComputeType, float>);
    static constexpr int min_blocks_per_multiprocessor = 2;
    using Warps = detail::WeightGradientWarps<T, tile_n, tile_k>;
    using Tiles = typename Warps::Tiles;
    static constexpr int tile_rows = std::max(128 / static_cast<int>(sizeof(T)), Warps::row_slices* Tiles::depth);
    struct Operands {
        alignas(32) T gradient[tile_rows * Warps::stride_n];
        alignas(32) T a[tile_rows * Warps::stride_k];
    };
    union alignas(32) Shared {
        Operands operands;
        float results[Warps::result_size];
    };

    template <class Block>
    BANTAM_HOST_DEVICE void operator()(const Block& block, Shared& shared) const {
        const BlockTile tile{*this, block.index()};
        auto accumulators = block.template per_warp<Tiles>();
        block.for_each_warp([&](int warp) { accumulators[warp].clear(); });
        for (Index row = tile.begin; row < tile.end; row += tile_rows) {
            block.for_each_thread([&](int thread) {
                this->template load_operands<tile_rows, Warps::stride_n, Warps::stride_k>(
                    tile, thread, row, shared.operands.gradient, shared.operands.a);
            });
            block.for_each_warp([&](int warp) {
                Warps::template multiply_add<tile_rows>(warp, shared.operands.gradient, shared.operands.a,
                                                        accumulators[warp]);
            });
        }
        block.for_each_warp([&](int warp) { Warps::store(warp, accumulators[warp], shared.results); });
        block.for_each_thread([&](int thread) {
            Warps::template reduce<tile_n, tile_k>(thread, shared.results,
                                                   [&](int n, int k, double sum) { this->store(tile, n, k, sum); });
        });
    }
};

/// gradient[order(i)] = element i of [group · Size + n][k], summed over all rows; uses pass.partials.
template <int Size, int Groups = 1, class S, class Gradient, class A, class Order = InOrder>
void weight_gradient_gemm(const Pass<S>& pass, Index rows, const Gradient& output_gradient, const A& a,
                          Compute<S>* gradient, const Order& order = {}) {
    require_countable(rows);
    const auto launch = [&]<class Kernel>(std::type_identity<Kernel>) {
        const BatchSlices slices =
            slices_of(pass, rows, Kernel::tile_rows, weight_gradient_slices(Size, Groups, A::depth));
        const Kernel kernel{{output_gradient, a, slices, pass.partials}};
        run_blocks(pass, kernel.blocks(), kernel);
        sum_slices(pass, slices.count(), Index{Size} * Groups * A::depth, pass.partials, gradient, order);
    };
    if constexpr (std::is_same_v<S, Bfloat16>) {
        launch(std::type_identity<TensorCoreWeightGradient<Bfloat16, Gradient, A, Size, Groups>>{});
    } else {
        if constexpr (std::is_same_v<S, float>)
            if (pass.execution->allows_tf32())
                return launch(std::type_identity<TensorCoreWeightGradient<Tf32, Gradient, A, Size, Groups>>{});
        launch(std::type_identity<WeightGradient<Gradient, A, Size, Groups>>{});
    }
}

}  // namespace bantam::cuda
