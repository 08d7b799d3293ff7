// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/bfloat16.hpp>
#include <bantam/base/division.hpp>
#include <bantam/base/error.hpp>
#include <bantam/base/host_device.hpp>
#include <bantam/base/index.hpp>
#include <bantam/cuda/kernels/batch_sums.hpp>
#include <bantam/cuda/kernels/epilogue.hpp>
#include <bantam/cuda/kernels/source.hpp>
#include <bantam/cuda/kernels/tensor_core_tiles.hpp>
#include <bantam/cuda/kernels/tile_transfer.hpp>
#include <bantam/cuda/runtime/operation.hpp>
#include <bantam/exec/concepts.hpp>

#include <algorithm>
#include <bit>
#include <limits>
#include <string>
#include <type_traits>

namespace bantam::cuda {

// A convolution as a matrix product (implicit GEMM): C[row][n] = Σ over k of A(row, k) · B(k, n), for every row of a
// map. A is loaded from a source and never stored, C goes to an epilogue. Groups of channels are separate products.

/// The A operand of a pointwise convolution: row i of A is row i of the source.
template <exec::ColumnSource Source>
struct PointwiseOperand {
    using ComputeType = Compute<typename Source::Scalar>;
    static constexpr int depth = Source::channels;  ///< extent of k
    /// Adjacent k that are loaded at once.
    static constexpr int vector_width = max_vector_width<typename Source::Scalar>(depth);
    Source source;

    template <int Count>
    BANTAM_HOST_DEVICE auto columns(int /*group*/, int k) const {
        return source.template columns<Count>(k);
    }
};

/// The A operand of a dense convolution, im2col: a row of A is an output pixel, whose columns are the taps of its
/// window times the group's `In` channels; zero in the padding. With `Backward` a row is an input pixel, and the
/// columns are the output pixels that read it.
template <exec::ColumnSource Source, class Geometry, bool Backward, int In>
struct Im2colOperand {
    using ComputeType = Compute<typename Source::Scalar>;
    static constexpr int depth = static_cast<int>(Geometry::taps) * In;
    static constexpr int vector_width = max_vector_width<typename Source::Scalar>(In);
    Source source;

    template <int Count>
    struct Columns {
        typename Source::template Columns<Count> source;
        int tap;
        BANTAM_HOST_DEVICE void load(Index row, ComputeType* to) const {
            const int pixel = Backward ? Geometry::output_pixel(static_cast<int>(row), tap)
                                       : Geometry::input_pixel(static_cast<int>(row), tap);
            if (pixel >= 0) return source.load(pixel, to);
            BANTAM_CUDA_UNROLL
            for (int j = 0; j < Count; ++j) to[j] = ComputeType(0);
        }
    };
    template <int Count>
    BANTAM_HOST_DEVICE Columns<Count> columns(int group, int k) const {
        return {source.template columns<Count>(group * In + k % In), k / In};
    }
};

/// The B operand in memory, one matrix per group: B(k, n) = values[n · stride + k] where `ByColumn`, else
/// values[k · stride + n].
template <class T, bool ByColumn>
struct WeightOperand {
    static constexpr bool by_column = ByColumn;
    const T* values;
    int stride;
    Index group_stride = 0;
    BANTAM_HOST_DEVICE Compute<T> at(int group, int k, int n) const {
        return values[group * group_stride + (ByColumn ? Index{n} * stride + k : Index{k} * stride + n)];
    }
};

namespace detail {

/// Columns split evenly into tiles of at most 64; each tile is a multiple of `Multiple` wide.
inline constexpr int max_tile_cols = 64;
template <int Multiple>
constexpr int tile_cols_for(int size) {
    return static_cast<int>(ceil_div(even_split(size, max_tile_cols), Multiple)) * Multiple;
}

/// What the implicit GEMM kernels share: the tiles of C, `TileCols` columns wide, and the transfers of operands and
/// results. A thread block computes one column tile of one slice of the rows.
template <class A_, class B_, class Epilogue_, int Size, int Groups, int TileCols>
struct ImplicitGemmTiles {
    using A = A_;
    using B = B_;
    using Epilogue = Epilogue_;
    using ComputeType = Compute<typename Epilogue::Scalar>;
    static constexpr int threads = block_threads;
    static constexpr int depth = A::depth;
    static constexpr int tile_cols = TileCols;
    static constexpr int tiles_per_group = static_cast<int>(ceil_div(Size, TileCols));
    static constexpr int column_tiles = tiles_per_group * Groups;
    static constexpr int thread_cols = TileCols / cols_per_thread, thread_rows = threads / thread_cols;
    static constexpr int sums_per_thread = cols_per_thread * sum_array_size<Epilogue>;
    static_assert(Size * Groups == Epilogue::channels);

    A a;
    B b;
    Epilogue epilogue;
    BatchSlices slices;
    double* sums;  ///< [slice][sum][channel]; null if the epilogue has none

    Index blocks() const { return slices.count() * column_tiles; }

protected:
    /// The columns and rows of a thread block.
    struct BlockTile {
        int group, column;  // the first column, within the group
        Index slice, begin, end;
        BANTAM_HOST_DEVICE BlockTile(const ImplicitGemmTiles& gemm, Index index) {
            slice = index / column_tiles;
            const int column_tile = static_cast<int>(index - slice * column_tiles);
            group = column_tile / tiles_per_group;
            column = column_tile % tiles_per_group * tile_cols;
            const IndexRange rows = gemm.slices[slice];
            begin = rows.begin;
            end = rows.end;
        }
    };

    /// Loads [TileRows][TileDepth] of A from `row` and `k` on; see load_tile.
    template <int TileRows, int TileDepth, class Store>
    BANTAM_HOST_DEVICE void load_a(const BlockTile& tile, int thread, Index row, int k, const Store& store) const {
        load_tile<ComputeType, TileRows, TileDepth, A::vector_width>(
            thread, row, tile.end, depth - k,
            [&](int first) { return a.template columns<A::vector_width>(tile.group, k + first); }, store);
    }

    /// Loads [TileDepth][tile_cols] of B from `k` on: `store(k, n, value)`.
    template <int TileDepth, class Store>
    BANTAM_HOST_DEVICE void load_b(const BlockTile& tile, int thread, int k, const Store& store) const {
        BANTAM_CUDA_UNROLL
        for (int i = thread; i < TileDepth * tile_cols; i += threads) {
            const int tile_k = B::by_column ? i % TileDepth : i / tile_cols;
            const int n = B::by_column ? i / TileDepth : i % tile_cols;
            const bool inside = k + tile_k < depth && tile.column + n < Size;
            store(tile_k, n, inside ? ComputeType(b.at(tile.group, k + tile_k, tile.column + n)) : ComputeType(0));
        }
    }

    template <class Block, class ThreadSums>
    BANTAM_HOST_DEVICE void store_sums(const Block& block, const BlockTile& tile, ThreadSums& thread_sums,
                                       double* totals) const {
        store_epilogue_sums<Size, thread_cols, Epilogue>(block, tile.group * Size, tile.column, tile.slice, thread_sums,
                                                         totals, sums);
    }
};

}  // namespace detail

/// The product by multiply-adds: a thread accumulates a tile of up to 8×4 in registers.
template <class A, class B, class Epilogue, int Size, int Groups = 1>
struct ImplicitGemm : detail::ImplicitGemmTiles<A, B, Epilogue, Size, Groups, detail::tile_cols_for<4>(Size)> {
    using Base = detail::ImplicitGemmTiles<A, B, Epilogue, Size, Groups, detail::tile_cols_for<4>(Size)>;
    using Base::depth, Base::thread_cols, Base::thread_rows, Base::threads, Base::tile_cols;
    using typename Base::BlockTile, typename Base::ComputeType;
    static constexpr int min_blocks_per_multiprocessor = 2;
    static constexpr int rows_per_thread = std::bit_floor(static_cast<unsigned>(std::clamp(256 / thread_rows, 1, 8)));
    static constexpr int cols_per_thread = detail::cols_per_thread;
    static constexpr int tile_rows = rows_per_thread * thread_rows;
    static constexpr int tile_depth =
        static_cast<int>(ceil_div(even_split(depth, 16), A::vector_width)) * A::vector_width;
    static constexpr int a_stride = static_cast<int>(ceil_div(tile_rows, 4)) * 4 + 4;
    struct Operands {
        alignas(16) ComputeType a[tile_depth * a_stride];   // [k][row]
        alignas(16) ComputeType b[tile_depth * tile_cols];  // [k][column]
    };
    union Shared {
        Operands operands;
        double totals[Base::sums_per_thread * threads];
    };

    template <class Block>
    BANTAM_HOST_DEVICE void operator()(const Block& block, Shared& shared) const {
        const BlockTile tile{*this, block.index()};
        auto thread_sums = block.template per_thread<Values<ComputeType, Base::sums_per_thread>>();
        auto accumulators = block.template per_thread<Values<ComputeType, rows_per_thread * cols_per_thread>>();
        for (Index row = tile.begin; row < tile.end; row += tile_rows) {
            for (int k = 0; k < depth; k += tile_depth) {
                block.for_each_thread([&](int thread) {
                    this->template load_a<tile_rows, tile_depth>(
                        tile, thread, row, k, [&](int i, int first, const auto& values) {
                            BANTAM_CUDA_UNROLL
                            for (int j = 0; j < A::vector_width; ++j)
                                shared.operands.a[(first + j) * a_stride + i] = values[j];
                        });
                    this->template load_b<tile_depth>(tile, thread, k, [&](int tile_k, int n, ComputeType value) {
                        shared.operands.b[tile_k * tile_cols + n] = value;
                    });
                });
                block.for_each_thread([&](int thread) {
                    if (thread >= thread_cols * thread_rows) return;
                    multiply_add(shared.operands, thread, k == 0, accumulators[thread].values);
                });
            }
            block.for_each_thread_nosync([&](int thread) {
                if (thread >= thread_cols * thread_rows) return;
                const Index first = row + thread / thread_cols * rows_per_thread;
                detail::store_tile<Size, rows_per_thread, rows_per_thread>(
                    this->epilogue, tile.group * Size, tile.column + thread % thread_cols * cols_per_thread, tile.end,
                    [&](int i) { return first + i; },
                    [&](int i) {
                        AlignedVector<ComputeType, cols_per_thread> values;
                        BANTAM_CUDA_UNROLL
                        for (int j = 0; j < cols_per_thread; ++j)
                            values.values[j] = accumulators[thread].values[i * cols_per_thread + j];
                        return values;
                    },
                    thread_sums[thread].values);
            });
        }
        this->store_sums(block, tile, thread_sums, shared.totals);
    }

private:
    BANTAM_HOST_DEVICE static void multiply_add(const Operands& operands, int thread, bool first,
                                                ComputeType* accumulators) {
        const ComputeType* a = operands.a + thread / thread_cols * rows_per_thread;
        const ComputeType* b = operands.b + thread % thread_cols * cols_per_thread;
        if (first) {
            BANTAM_CUDA_UNROLL
            for (int i = 0; i < rows_per_thread * cols_per_thread; ++i) accumulators[i] = ComputeType(0);
        }
        BANTAM_CUDA_UNROLL
        for (int k = 0; k < tile_depth; ++k) {
            const auto a_values =
                *reinterpret_cast<const AlignedVector<ComputeType, rows_per_thread>*>(a + k * a_stride);
            const auto b_values =
                *reinterpret_cast<const AlignedVector<ComputeType, cols_per_thread>*>(b + k * tile_cols);
            BANTAM_CUDA_UNROLL
            for (int i = 0; i < rows_per_thread; ++i) {
                BANTAM_CUDA_UNROLL
                for (int j = 0; j < cols_per_thread; ++j)
                    accumulators[i * cols_per_thread + j] += a_values.values[i] * b_values.values[j];
            }
        }
    }
};

/// The product on tensor cores: operands rounded to `T`, accumulators in float, 16 rows per warp.
template <class T, class A, class B, class Epilogue, int Size, int Groups = 1>
struct TensorCoreImplicitGemm
    : detail::ImplicitGemmTiles<A, B, Epilogue, Size, Groups, detail::tile_cols_for<16>(Size)> {
    using Base = detail::ImplicitGemmTiles<A, B, Epilogue, Size, Groups, detail::tile_cols_for<16>(Size)>;
    using Base::depth, Base::threads, Base::tile_cols;
    using typename Base::BlockTile;
    static_assert(std::is_same_v<typename Base::ComputeType, float>);
    static constexpr int min_blocks_per_multiprocessor = 2;
    using Tiles = TensorCoreTiles<T, tile_cols / 16>;
    static constexpr int tile_rows = threads / warp_threads * Tiles::side;
    static constexpr int tile_depth =
        static_cast<int>(ceil_div(even_split(depth, 128 / static_cast<int>(sizeof(T))), 16)) * 16;
    // Padding of 16 bytes puts consecutive rows into different banks.
    static constexpr int stride = tile_depth + 16 / static_cast<int>(sizeof(T));
    static constexpr int result_stride = tile_cols + 4;
    struct Operands {
        T a[tile_rows * stride];  // [row][k]
        T b[tile_cols * stride];  // [column][k]
    };
    union alignas(32) Shared {
        Operands operands;
        float results[tile_rows * result_stride];
        double totals[Base::sums_per_thread * threads];
    };

    template <class Block>
    BANTAM_HOST_DEVICE void operator()(const Block& block, Shared& shared) const {
        const BlockTile tile{*this, block.index()};
        auto thread_sums = block.template per_thread<Values<float, Base::sums_per_thread>>();
        auto accumulators = block.template per_warp<Tiles>();
        for (Index row = tile.begin; row < tile.end; row += tile_rows) {
            for (int k = 0; k < depth; k += tile_depth) {
                block.for_each_thread([&](int thread) {
                    this->template load_a<tile_rows, tile_depth>(
                        tile, thread, row, k, [&](int i, int first, const auto& values) {
                            detail::store_vector(values, shared.operands.a + i * stride + first);
                        });
                    this->template load_b<tile_depth>(tile, thread, k, [&](int tile_k, int n, float value) {
                        shared.operands.b[n * stride + tile_k] = T(value);
                    });
                });
                block.for_each_warp([&](int warp) {
                    Tiles& tiles = accumulators[warp];
                    if (k == 0) tiles.clear();
                    BANTAM_CUDA_UNROLL
                    for (int step = 0; step < tile_depth; step += Tiles::depth)
                        tiles.template multiply_add<false, true>(shared.operands.a + warp * Tiles::side * stride + step,
                                                                 stride, shared.operands.b + step, stride);
                });
            }
            block.for_each_warp([&](int warp) {
                accumulators[warp].store(shared.results + warp * Tiles::side * result_stride, result_stride);
            });
            block.for_each_thread([&](int thread) {
                detail::store_shared_tile<Size, tile_rows, tile_cols, result_stride>(
                    this->epilogue, tile.group * Size, tile.column, thread, row, tile.end, shared.results,
                    thread_sums[thread].values);
            });
        }
        this->store_sums(block, tile, thread_sums, shared.totals);
    }
};

/// Windows count the pixels of a batch in 32 bits. Throws Error for a batch with more.
inline void require_countable(Index rows) {
    if (rows > std::numeric_limits<int>::max())
        throw Error("the batch's maps have " + std::to_string(rows) +
                    " positions, more than can be counted here; use a smaller batch");
}

/// Runs the product, on tensor cores for bf16 and where TensorFloat-32 is allowed. Returns the number of slices of the
/// epilogue's sums in pass.sums, at most `max_slices`.
template <int Size, int Groups = 1, class S, class A, class B, class Epilogue>
Index implicit_gemm(const Pass<S>& pass, Index rows, const A& a, const B& b, const Epilogue& epilogue) {
    require_countable(rows);
    const auto launch = [&]<class Kernel>(std::type_identity<Kernel>) {
        // Without sums a slice is one tile, which gives the most blocks.
        const BatchSlices slices = Epilogue::sum_count > 0 ? slices_of(pass, rows, Kernel::tile_rows)
                                                           : BatchSlices::of_rows(rows, Kernel::tile_rows);
        const Kernel kernel{{a, b, epilogue, slices, pass.sums}};
        run_blocks(pass, kernel.blocks(), kernel);
        return slices.count();
    };
    if constexpr (std::is_same_v<S, Bfloat16>)
        return launch(std::type_identity<TensorCoreImplicitGemm<Bfloat16, A, B, Epilogue, Size, Groups>>{});
    if constexpr (std::is_same_v<S, float>)
        if (pass.execution->allows_tf32())
            return launch(std::type_identity<TensorCoreImplicitGemm<Tf32, A, B, Epilogue, Size, Groups>>{});
    if constexpr (!std::is_same_v<S, Bfloat16>)
        return launch(std::type_identity<ImplicitGemm<A, B, Epilogue, Size, Groups>>{});
}

}  // namespace bantam::cuda
