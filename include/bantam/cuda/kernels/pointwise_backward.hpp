// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/cuda/kernels/epilogue.hpp>
#include <bantam/cuda/kernels/implicit_gemm.hpp>
#include <bantam/cuda/kernels/row_reduction.hpp>
#include <bantam/cuda/kernels/tensor_core_tile.hpp>
#include <bantam/cuda/kernels/weight_gradient.hpp>
#include <bantam/cuda/runtime/operation.hpp>

#include <algorithm>
#include <cstddef>
#include <type_traits>

namespace bantam::cuda {

/// The way back of a pointwise convolution in one go, on tensor cores: some rows of dL/d(output) and of the input lie
/// in shared memory while both products are made of them, the input's gradient, which goes to the sink, and the
/// weight's, which stays in registers until the block's rows are through. Equals ImplicitGemm and WeightGradient.
template <class T, class Gradient, class Source, class Sink, int Out, int In>
struct TensorCorePointwiseBackward {
    static_assert(std::is_same_v<typename Sink::Number, float>);
    static constexpr int threads = detail::row_threads, warps = threads / warp_threads;
    static constexpr int min_blocks_per_multiprocessor = 2;
    static constexpr int out = Out, in = In, side = 16;
    static constexpr int tile_n = static_cast<int>(ceil_div(Out, side)) * side;
    static constexpr int tile_k = static_cast<int>(ceil_div(In, side)) * side;
    // Rows begin in different banks.
    static constexpr int apart = 16 / static_cast<int>(sizeof(T));
    static constexpr int stride_n = tile_n + apart, stride_k = tile_k + apart, result_stride = tile_k + 4;

    /// Whether so many rows fit shared memory, and their products the warps.
    static constexpr bool fits(int rows) {
        const auto factors = static_cast<std::size_t>(rows * (stride_n + stride_k)) * sizeof(T);
        const auto results = static_cast<std::size_t>(rows * result_stride) * sizeof(float);
        const std::size_t bytes = static_cast<std::size_t>(tile_n * stride_k) * sizeof(T) + std::max(factors, results);
        return bytes <= max_shared_bytes && tile_k / side % (warps * side / rows) == 0;
    }
    /// Rows at once; 0 where none fit, or a warp would have too much to keep.
    static constexpr int height = tile_k > 64 || tile_n > 128 ? 0 : fits(128) ? 128 : fits(64) ? 64 : 0;
    static constexpr bool fit = height > 0;

    // For the input's gradient warps stand in rows of 16 and share the columns; for the weight's they share its rows,
    // and where there are more warps than those, the rows of the map.
    static constexpr int row_groups = fit ? height / side : 1, column_groups = warps / row_groups;
    static constexpr int workers = std::min(warps, tile_n / side), lanes = warps / workers;
    using InputTiles = TensorCoreTiles<T, std::max(1, tile_k / side / column_groups)>;
    using WeightTiles = TensorCoreTiles<T, tile_k / side>;
    static_assert(!fit || height % (lanes * WeightTiles::depth) == 0);
    struct Kept {
        InputTiles input;
        WeightTiles weight;
    };
    static constexpr int sum_count = 4 * epilogue_sums<Sink>;
    static constexpr int across = tile_k / 4, down = threads / across;

    struct Factors {
        alignas(32) T gradient[std::max(1, height) * stride_n];
        alignas(32) T left[std::max(1, height) * stride_k];
    };
    struct Running {
        alignas(32) T weights[tile_n * stride_k];
        union {
            Factors factors;
            alignas(32) float results[std::max(1, height) * result_stride];
        };
    };
    union Shared {
        Running running;
        alignas(32) float results[lanes * tile_n * result_stride];
        double totals[sum_count * threads];
    };

    Gradient output_gradient;
    Source source;
    Sink sink;
    const float* weights;  ///< [Out][In]
    Index rows, rows_per_slice;
    float* partials;    ///< [part][Out][In]
    double* sink_sums;  ///< [part][sum][channel]

    Index parts() const { return std::max<Index>(1, ceil_div(rows, rows_per_slice)); }

    template <class Block>
    BANTAM_HOST_DEVICE void operator()(const Block& block, Shared& shared) const {
        Running& work = shared.running;
        const Index begin = block.index() * rows_per_slice;
        const Index end = begin + rows_per_slice < rows ? begin + rows_per_slice : rows;
        auto own = block.template per_warp<Kept>();
        auto own_sums = block.template per_thread<Values<float, sum_count>>();
        block.for_each_thread([&](int thread) {
            for (int i = thread; i < tile_n * tile_k; i += threads) {
                const int n = i / tile_k, k = i % tile_k;
                work.weights[n * stride_k + k] = T(n < Out && k < In ? weights[n * In + k] : 0.0f);
            }
        });
        block.for_each_warp([&](int warp) { own[warp].weight.clear(); });
        for (Index row = begin; row < end; row += height) {
            block.for_each_thread([&](int thread) { load(work.factors, thread, row, end); });
            block.for_each_warp([&](int warp) { multiply(work.factors, work.weights, warp, own[warp]); });
            block.for_each_warp([&](int warp) {
                own[warp].input.store(work.results + warp % row_groups * side * result_stride +
                                          warp / row_groups * (tile_k / column_groups),
                                      result_stride);
            });
            block.for_each_thread([&](int thread) {
                if (thread >= across * down) return;
                constexpr int at_once = 4, turns = (height + at_once * down - 1) / (at_once * down) * at_once;
                const int lane = thread / across, column = thread % across * 4;
                const auto row_of = [&](int i) { return lane + i * down < height ? row + lane + i * down : end; };
                detail::store_rows<In, turns, at_once>(
                    sink, 0, column, end, row_of,
                    [&](int i) {
                        return *reinterpret_cast<const Pack<float, 4>*>(work.results +
                                                                        (lane + i * down) * result_stride + column);
                    },
                    own_sums[thread].values);
            });
        }
        block.for_each_warp([&](int warp) {
            if (warp < workers * lanes)
                own[warp].weight.store(shared.results + warp * side * result_stride, result_stride);
        });
        block.for_each_thread([&](int thread) {
            for (int i = thread; i < Out * In; i += threads) {
                const int n = i / In, k = i % In;
                double sum = 0;
                for (int lane = 0; lane < lanes; ++lane)
                    sum += static_cast<double>(shared.results[(lane * tile_n + n) * result_stride + k]);
                partials[block.index() * Out * In + i] = static_cast<float>(sum);
            }
        });
        detail::write_column_sums<In, across, Sink>(block, 0, 0, block.index(), own_sums, shared.totals, sink_sums);
    }

private:
    BANTAM_HOST_DEVICE void load(Factors& factors, int thread, Index row, Index end) const {
        constexpr int together_n = pack_size<typename Gradient::Scalar>(Out);
        constexpr int together_k = pack_size<typename Source::Scalar>(In);
        detail::load_rows<float, height, tile_n, together_n>(
            thread, row, end, Out, [&](int first) { return output_gradient.template columns<together_n>(first); },
            [&](int i, int first, const auto& values) {
                detail::store_pack(values, factors.gradient + i * stride_n + first);
            });
        detail::load_rows<float, height, tile_k, together_k>(
            thread, row, end, In, [&](int first) { return source.template columns<together_k>(first); },
            [&](int i, int first, const auto& values) {
                detail::store_pack(values, factors.left + i * stride_k + first);
            });
    }

    BANTAM_HOST_DEVICE static void multiply(const Factors& factors, const T* weights, int warp, Kept& kept) {
        kept.input.clear();
        const T* rows_of_gradient = factors.gradient + warp % row_groups * side * stride_n;
        const T* columns_of_weights = weights + warp / row_groups * (tile_k / column_groups);
        BANTAM_CUDA_UNROLL
        for (int n = 0; n < tile_n; n += InputTiles::depth)
            kept.input.template add<false, false>(rows_of_gradient + n, stride_n, columns_of_weights + n * stride_k,
                                                  stride_k);
        if (warp >= workers * lanes) return;
        BANTAM_CUDA_UNROLL
        for (int from = 0; from < height; from += lanes * WeightTiles::depth) {
            const int i = from + warp / workers * WeightTiles::depth;
            kept.weight.template add<true, false>(factors.gradient + i * stride_n + warp % workers * side, stride_n,
                                                  factors.left + i * stride_k, stride_k);
        }
    }
};

/// Runs such a kernel; gives the number of parts of the sink's sums. Takes pass.partials.
template <class Kernel, class S, class Gradient, class Source, class Sink>
Index pointwise_backward(const Pass<S>& pass, Index rows, const float* weights, const Gradient& output_gradient,
                         const Source& source, const Sink& sink, float* weight_gradient) {
    static_assert(weight_parts(Kernel::out, 1, Kernel::in) == max_slices,
                  "partial gradients of every part have a place");
    const Index turns = ceil_div(ceil_div(rows, Kernel::height), max_slices);
    const Kernel kernel{output_gradient, source, sink, weights, rows, turns * Kernel::height, pass.partials, pass.sums};
    run_blocks(pass, kernel.parts(), kernel);
    sum_slices(*pass.execution, kernel.parts(), Index{Kernel::out} * Kernel::in, pass.partials, weight_gradient);
    return kernel.parts();
}

}  // namespace bantam::cuda
