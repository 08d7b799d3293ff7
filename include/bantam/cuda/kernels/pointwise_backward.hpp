// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/division.hpp>
#include <bantam/base/host_device.hpp>
#include <bantam/base/index.hpp>
#include <bantam/cuda/kernels/batch_sums.hpp>
#include <bantam/cuda/kernels/epilogue.hpp>
#include <bantam/cuda/kernels/source.hpp>
#include <bantam/cuda/kernels/tensor_core_tiles.hpp>
#include <bantam/cuda/kernels/tile_transfer.hpp>
#include <bantam/cuda/kernels/weight_gradient.hpp>
#include <bantam/cuda/runtime/operation.hpp>

#include <algorithm>
#include <cstddef>
#include <type_traits>

namespace bantam::cuda {

/// The whole backward pass of a pointwise convolution on tensor cores. Each tile of rows of dL/d(output) and of the
/// input is loaded into shared memory once and serves both products: the input's gradient goes to the epilogue, the
/// weight gradient stays in registers until the block has seen all rows of its slice. Computes the same as
/// ImplicitGemm and WeightGradient.
template <class T, class Gradient, class Source, class Epilogue, int Out, int In>
struct TensorCorePointwiseBackward {
    static_assert(std::is_same_v<Compute<typename Epilogue::Scalar>, float>);
    static constexpr int threads = detail::block_threads, warps = threads / warp_threads;
    static constexpr int min_blocks_per_multiprocessor = 2;
    static constexpr int out = Out, in = In, side = 16;
    static constexpr int tile_n = static_cast<int>(ceil_div(Out, side)) * side;
    static constexpr int tile_k = static_cast<int>(ceil_div(In, side)) * side;
    using WeightWarps = detail::WeightGradientWarps<T, tile_n, tile_k>;
    static constexpr int stride_n = WeightWarps::stride_n, stride_k = WeightWarps::stride_k;
    static constexpr int result_stride = WeightWarps::result_stride;

    /// Whether a tile of `rows` rows fits into shared memory and its product divides evenly among the warps.
    static constexpr bool fits(int rows) {
        const auto operands = static_cast<std::size_t>(rows * (stride_n + stride_k)) * sizeof(T);
        const auto results = static_cast<std::size_t>(rows * result_stride) * sizeof(float);
        const std::size_t bytes = static_cast<std::size_t>(tile_n * stride_k) * sizeof(T) + std::max(operands, results);
        return bytes <= max_shared_bytes && tile_k / side % (warps * side / rows) == 0;
    }
    /// 0 where no tile fits or a warp would need too many accumulators.
    static constexpr int tile_rows = tile_k > 64 || tile_n > 128 ? 0 : fits(128) ? 128 : fits(64) ? 64 : 0;
    static constexpr bool fit = tile_rows > 0;

    // For the input's gradient [tile_rows][tile_k] the warps form a grid: each takes 16 rows and a share of the
    // columns.
    static constexpr int warp_rows = fit ? tile_rows / side : 1, warp_cols = warps / warp_rows;
    using InputTiles = TensorCoreTiles<T, std::max(1, tile_k / side / warp_cols)>;
    using WeightTiles = typename WeightWarps::Tiles;
    static_assert(!fit || tile_rows % (WeightWarps::row_slices * WeightTiles::depth) == 0);
    struct Accumulators {
        InputTiles input;
        WeightTiles weight;
    };
    static constexpr int sums_per_thread = detail::cols_per_thread * sum_array_size<Epilogue>;
    static constexpr int thread_cols = tile_k / detail::cols_per_thread;

    struct Operands {
        alignas(32) T gradient[std::max(1, tile_rows) * stride_n];
        alignas(32) T input[std::max(1, tile_rows) * stride_k];
    };
    struct Tile {
        alignas(32) T weights[tile_n * stride_k];
        union {
            Operands operands;
            alignas(32) float results[std::max(1, tile_rows) * result_stride];
        };
    };
    union Shared {
        Tile tile;
        alignas(32) float results[WeightWarps::result_size];
        double totals[sums_per_thread * threads];
    };

    Gradient output_gradient;
    Source source;
    Epilogue epilogue;
    const float* weights;  ///< [Out][In]
    BatchSlices slices;
    float* partials;  ///< [slice][Out][In]
    double* sums;     ///< [slice][sum][channel]

    template <class Block>
    BANTAM_HOST_DEVICE void operator()(const Block& block, Shared& shared) const {
        Tile& tile = shared.tile;
        const IndexRange rows = slices[block.index()];
        const Index begin = rows.begin, end = rows.end;
        auto accumulators = block.template per_warp<Accumulators>();
        auto thread_sums = block.template per_thread<Values<float, sums_per_thread>>();
        block.for_each_thread([&](int thread) {
            for (int i = thread; i < tile_n * tile_k; i += threads) {
                const int n = i / tile_k, k = i % tile_k;
                tile.weights[n * stride_k + k] = T(n < Out && k < In ? weights[n * In + k] : 0.0f);
            }
        });
        block.for_each_warp([&](int warp) { accumulators[warp].weight.clear(); });
        for (Index row = begin; row < end; row += tile_rows) {
            block.for_each_thread([&](int thread) { load(tile.operands, thread, row, end); });
            block.for_each_warp([&](int warp) { multiply_add(tile.operands, tile.weights, warp, accumulators[warp]); });
            block.for_each_warp([&](int warp) {
                accumulators[warp].input.store(
                    tile.results + warp % warp_rows * side * result_stride + warp / warp_rows * (tile_k / warp_cols),
                    result_stride);
            });
            block.for_each_thread([&](int thread) {
                detail::store_shared_tile<In, tile_rows, tile_k, result_stride>(
                    epilogue, 0, 0, thread, row, end, tile.results, thread_sums[thread].values);
            });
        }
        block.for_each_warp([&](int warp) { WeightWarps::store(warp, accumulators[warp].weight, shared.results); });
        block.for_each_thread([&](int thread) {
            WeightWarps::template reduce<Out, In>(thread, shared.results, [&](int n, int k, double sum) {
                partials[(block.index() * Out + n) * In + k] = static_cast<float>(sum);
            });
        });
        detail::store_epilogue_sums<In, thread_cols, Epilogue>(block, 0, 0, block.index(), thread_sums, shared.totals,
                                                               sums);
    }

private:
    BANTAM_HOST_DEVICE void load(Operands& operands, int thread, Index row, Index end) const {
        constexpr int gradient_width = max_vector_width<typename Gradient::Scalar>(Out);
        constexpr int input_width = max_vector_width<typename Source::Scalar>(In);
        detail::load_shared_tile<float, tile_rows, tile_n, gradient_width, stride_n>(
            thread, row, end, Out, [&](int first) { return output_gradient.template columns<gradient_width>(first); },
            operands.gradient);
        detail::load_shared_tile<float, tile_rows, tile_k, input_width, stride_k>(
            thread, row, end, In, [&](int first) { return source.template columns<input_width>(first); },
            operands.input);
    }

    BANTAM_HOST_DEVICE static void multiply_add(const Operands& operands, const T* weights, int warp,
                                                Accumulators& accumulators) {
        accumulators.input.clear();
        const T* gradient_rows = operands.gradient + warp % warp_rows * side * stride_n;
        const T* weight_columns = weights + warp / warp_rows * (tile_k / warp_cols);
        BANTAM_CUDA_UNROLL
        for (int n = 0; n < tile_n; n += InputTiles::depth)
            accumulators.input.template multiply_add<false, false>(gradient_rows + n, stride_n,
                                                                   weight_columns + n * stride_k, stride_k);
        WeightWarps::template multiply_add<tile_rows>(warp, operands.gradient, operands.input, accumulators.weight);
    }
};

/// Launches such a kernel; uses pass.partials. Returns the number of slices of the epilogue's sums in pass.sums.
template <class Kernel, class S, class Gradient, class Source, class Epilogue>
Index pointwise_backward(const Pass<S>& pass, Index rows, const float* weights, const Gradient& output_gradient,
                         const Source& source, const Epilogue& epilogue, float* weight_gradient) {
    static_assert(weight_gradient_slices(Kernel::out, 1, Kernel::in) == max_slices,
                  "pass.partials holds the gradients of every slice");
    const BatchSlices slices = slices_of(pass, rows, Kernel::tile_rows);
    run_blocks(pass, slices.count(),
               Kernel{output_gradient, source, epilogue, weights, slices, pass.partials, pass.sums});
    sum_slices(pass, slices.count(), Index{Kernel::out} * Kernel::in, pass.partials, weight_gradient);
    return slices.count();
}

}  // namespace bantam::cuda
