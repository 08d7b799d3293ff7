// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/bfloat16.hpp>
#include <bantam/base/host_device.hpp>
#include <bantam/base/index.hpp>
#include <bantam/core/shape.hpp>
#include <bantam/cuda/kernels/depthwise_tiles.hpp>
#include <bantam/cuda/kernels/epilogue.hpp>
#include <bantam/cuda/kernels/row_reduction.hpp>
#include <bantam/cuda/kernels/source.hpp>
#include <bantam/cuda/runtime/thread_block.hpp>

#include <algorithm>

namespace bantam::cuda {

/// A depthwise convolution, tile by tile: epilogue(Σ over the taps of weight · source). Weights are [channel][tap].
template <class Taps, Shape From, Shape To, class Source, class Epilogue>
struct DepthwiseForwardTiled {
    using Tiles = DepthwiseTiles<Taps, From, To, typename Source::Scalar>;
    using ComputeType = typename Tiles::ComputeType;
    using TileOrigin = typename Tiles::TileOrigin;
    using ThreadPosition = typename Tiles::ThreadPosition;
    static constexpr int threads = Tiles::threads;
    static constexpr int chunk = Tiles::chunk;
    static constexpr int sums_per_thread = sum_array_size<Epilogue>;
    struct Operands {
        ComputeType patch[Tiles::patch_pixels * chunk];
        ComputeType weights[Tiles::taps * chunk];  // [tap][channel]
    };
    union Shared {
        Operands operands;
        double totals[sums_per_thread * threads];
    };
    static constexpr bool fit = Tiles::fit;

    Source source;
    Epilogue epilogue;
    const ComputeType* weights;
    TileSlices<Tiles> slices;
    double* sums;  ///< [slice][sum][channel]

    template <class Block>
    BANTAM_HOST_DEVICE void operator()(const Block& block, Shared& shared) const {
        const auto tiles = slices.tiles_of(block.index());
        auto thread_sums = block.template per_thread<Values<ComputeType, sums_per_thread>>();
        block.for_each_thread_nosync(
            [&](int thread) { Tiles::load_weights(weights, tiles.first_channel, thread, shared.operands.weights); });
        for (Index tile = tiles.begin; tile < tiles.end; ++tile) {
            const TileOrigin origin{tile};
            block.for_each_thread([&](int thread) {
                Tiles::load_patch(source, origin, ThreadPosition{tiles.first_channel, thread}, shared.operands.patch);
            });
            block.for_each_thread([&](int thread) {
                const ThreadPosition at{tiles.first_channel, thread};
                if (!at.inside) return;
                const auto column = epilogue.template columns<1>(at.channel);
                for (int strip = at.thread_row; strip < Tiles::strips; strip += Tiles::thread_rows)
                    compute_strip(origin, at, strip, shared.operands, column, thread_sums[thread].values);
            });
        }
        detail::store_depthwise_sums<Tiles, Epilogue::sum_count>(block, tiles, thread_sums, shared.totals, sums);
    }

private:
    template <class Column>
    BANTAM_HOST_DEVICE static void compute_strip(const TileOrigin& origin, const ThreadPosition& at, int index,
                                                 const Operands& operands, const Column& column, ComputeType* sums) {
        const typename Tiles::Strip strip{origin, index};
        if (!strip.inside) return;
        ComputeType results[Tiles::strip] = {};
        for (int ky = 0; ky < Taps::Rows::kernel; ++ky) {
            if (!Taps::Rows::reads(strip.row, ky)) continue;
            const ComputeType* line = Tiles::line_of(operands.patch, strip, ky, at);
            BANTAM_CUDA_UNROLL
            for (int kx = 0; kx < Taps::Columns::kernel; ++kx) {
                const ComputeType weight = operands.weights[(ky * Taps::Columns::kernel + kx) * chunk + at.c];
                BANTAM_CUDA_UNROLL
                for (int j = 0; j < Tiles::strip; ++j)
                    if (Taps::Columns::reads(j, kx))
                        results[j] += line[Taps::Columns::position(j, kx) * chunk] * weight;
            }
        }
        BANTAM_CUDA_UNROLL
        for (int j = 0; j < Tiles::strip; ++j)
            if (strip.x + j < Tiles::to_width) column.store(strip.first + j, results + j, sums);
    }
};

/// The whole backward pass of a depthwise convolution, tile by tile. A patch of dL/d(output) serves both gradients: the
/// input's, which goes to the epilogue, and the weight's, whose other operand is the input:
/// partials[slice][channel][tap].
template <class Taps, Shape Output, Shape Input, class Gradient, class Source, class Epilogue>
struct DepthwiseBackwardTiled {
    using Tiles = DepthwiseTiles<Taps, Output, Input, typename Source::Scalar>;
    using ComputeType = typename Tiles::ComputeType;
    using TileOrigin = typename Tiles::TileOrigin;
    using ThreadPosition = typename Tiles::ThreadPosition;
    static constexpr int threads = Tiles::threads;
    static constexpr int chunk = Tiles::chunk;
    static constexpr int kernel_height = Taps::Rows::kernel, kernel_width = Taps::Columns::kernel;
    static constexpr int taps = Tiles::taps;
    static constexpr int sums_per_thread = sum_array_size<Epilogue>;
    struct Operands {
        ComputeType patch[Tiles::patch_pixels * chunk];
        ComputeType weights[taps * chunk];  // [tap][channel]
    };
    union Shared {
        Operands operands;
        double totals[std::max(kernel_width, sums_per_thread) * threads];
    };
    /// A thread keeps one weight gradient per tap in registers.
    static constexpr bool fit = Tiles::fit && taps <= 49 && sizeof(Shared) <= max_shared_bytes;

    Gradient output_gradient;
    Source source;
    Epilogue epilogue;
    const ComputeType* weights;
    TileSlices<Tiles> slices;
    ComputeType* partials;
    double* sums;  ///< [slice][sum][channel]

    template <class Block>
    BANTAM_HOST_DEVICE void operator()(const Block& block, Shared& shared) const {
        const auto tiles = slices.tiles_of(block.index());
        auto weight_gradients = block.template per_thread<Values<ComputeType, taps>>();
        auto thread_sums = block.template per_thread<Values<ComputeType, sums_per_thread>>();
        block.for_each_thread_nosync(
            [&](int thread) { Tiles::load_weights(weights, tiles.first_channel, thread, shared.operands.weights); });
        for (Index tile = tiles.begin; tile < tiles.end; ++tile) {
            const TileOrigin origin{tile};
            block.for_each_thread([&](int thread) {
                Tiles::load_patch(output_gradient, origin, ThreadPosition{tiles.first_channel, thread},
                                  shared.operands.patch);
            });
            block.for_each_thread([&](int thread) {
                const ThreadPosition at{tiles.first_channel, thread};
                if (!at.inside) return;
                const auto from = source.template columns<1>(at.channel);
                const auto to = epilogue_columns<1>(epilogue, at.channel);
                for (int strip = at.thread_row; strip < Tiles::strips; strip += Tiles::thread_rows)
                    compute_strip(origin, at, strip, shared.operands, from, to, weight_gradients[thread].values,
                                  thread_sums[thread].values);
            });
        }
        // The weight gradients are reduced one row of the kernel at a time, which bounds the shared memory.
        BANTAM_CUDA_UNROLL
        for (int ky = 0; ky < kernel_height; ++ky) {
            block.for_each_thread([&](int thread) {
                BANTAM_CUDA_UNROLL
                for (int kx = 0; kx < kernel_width; ++kx)
                    shared.totals[kx * threads + thread] = weight_gradients[thread].values[ky * kernel_width + kx];
            });
            detail::reduce_thread_rows<kernel_width>(block, chunk, Tiles::thread_rows, shared.totals);
            block.for_each_thread([&](int thread) {
                const ThreadPosition at{tiles.first_channel, thread};
                if (!at.inside || at.thread_row > 0) return;
                ComputeType* to = partials + (tiles.slice * Tiles::channels + at.channel) * taps + ky * kernel_width;
                BANTAM_CUDA_UNROLL
                for (int kx = 0; kx < kernel_width; ++kx)
                    to[kx] = static_cast<ComputeType>(shared.totals[kx * threads + thread]);
            });
        }
        detail::store_depthwise_sums<Tiles, Epilogue::sum_count>(block, tiles, thread_sums, shared.totals, sums);
    }

private:
    template <class From, class To>
    BANTAM_HOST_DEVICE static void compute_strip(const TileOrigin& origin, const ThreadPosition& at, int index,
                                                 const Operands& operands, const From& from, const To& to,
                                                 ComputeType* weight_gradients, ComputeType* sums) {
        const typename Tiles::Strip strip{origin, index};
        if (!strip.inside) return;
        ComputeType input[Tiles::strip] = {}, results[Tiles::strip] = {};
        BANTAM_CUDA_UNROLL
        for (int j = 0; j < Tiles::strip; ++j)
            if (strip.x + j < Tiles::to_width) from.load(strip.first + j, input + j);
        BANTAM_CUDA_UNROLL
        for (int ky = 0; ky < kernel_height; ++ky) {
            if (!Taps::Rows::reads(strip.row, ky)) continue;
            const ComputeType* line = Tiles::line_of(operands.patch, strip, ky, at);
            BANTAM_CUDA_UNROLL
            for (int kx = 0; kx < kernel_width; ++kx) {
                const ComputeType weight = operands.weights[(ky * kernel_width + kx) * chunk + at.c];
                // The strip is summed on its own first: short sums lose less precision.
                ComputeType sum{};
                BANTAM_CUDA_UNROLL
                for (int j = 0; j < Tiles::strip; ++j)
                    if (Taps::Columns::reads(j, kx)) {
                        const ComputeType gradient = line[Taps::Columns::position(j, kx) * chunk];
                        results[j] += gradient * weight;
                        sum += gradient * input[j];
                    }
                weight_gradients[ky * kernel_width + kx] += sum;
            }
        }
        BANTAM_CUDA_UNROLL
        for (int j = 0; j < Tiles::strip; ++j)
            if (strip.x + j < Tiles::to_width) to.store(strip.first + j, results + j, sums);
    }
};

}  // namespace bantam::cuda
