// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/cuda/kernels/epilogue.hpp>
#include <bantam/cuda/kernels/implicit_gemm.hpp>
#include <bantam/cuda/kernels/row_reduction.hpp>
#include <bantam/cuda/kernels/tensor_core_tile.hpp>
#include <bantam/cuda/runtime/operation.hpp>

#include <algorithm>
#include <type_traits>

namespace bantam::cuda {

// The weight's gradient of a convolution as a product: gradient[n][k] = Σ over rows of output_gradient(row, n) ·
// left(row, k), with the left factor of the forward pass. Rows fall into parts that are summed by blocks of their own
// and joined in a fixed order.

/// As many parts as give a GPU enough blocks: fewer where the gradient itself falls into many tiles.
constexpr Index weight_parts(Index size, Index groups, Index depth) {
    const Index tiles = ceil_div(size, detail::widest_columns) * ceil_div(depth, detail::widest_columns) * groups;
    return std::clamp<Index>(2 * max_slices / tiles, 1, max_slices);
}
/// Numbers that these parts take, for each of `max_slices`.
constexpr Index weight_partials(Index size, Index groups, Index depth) {
    return ceil_div(size * groups * depth * weight_parts(size, groups, depth), max_slices);
}

namespace detail {

/// How a gradient [Size][depth] of each group falls into tiles, and rows into parts.
template <class Gradient_, class Left_, int Size, int Groups, int MultipleN, int MultipleK>
struct WeightGradientTiles {
    using Gradient = Gradient_;
    using Left = Left_;
    using Number = typename Left::Number;
    static constexpr int threads = row_threads;
    static constexpr int depth = Left::depth;
    static constexpr int tile_n = product_columns<MultipleN>(Size), tile_k = product_columns<MultipleK>(depth);
    static constexpr int tiles_n = static_cast<int>(ceil_div(Size, tile_n));
    static constexpr int tiles_k = static_cast<int>(ceil_div(depth, tile_k));
    static constexpr int tiles = tiles_n * tiles_k * Groups;
    static_assert(Size * Groups == Gradient::channels);

    Gradient output_gradient;
    Left left;
    Index rows, rows_per_slice;
    Number* partials;  ///< [part][group · Size + n][k]

    Index parts() const { return std::max<Index>(1, ceil_div(rows, rows_per_slice)); }
    Index blocks() const { return parts() * tiles; }

protected:
    struct Place {
        int group, n, k;  // where the tile begins
        Index part, begin, end;
        BANTAM_HOST_DEVICE Place(const WeightGradientTiles& product, Index index) {
            part = index / tiles;
            const int tile = static_cast<int>(index - part * tiles);
            group = tile / (tiles_n * tiles_k);
            n = tile / tiles_k % tiles_n * tile_n;
            k = tile % tiles_k * tile_k;
            begin = part * product.rows_per_slice;
            end = begin + product.rows_per_slice < product.rows ? begin + product.rows_per_slice : product.rows;
        }
    };

    /// Brings `Height` rows from `row` on of both factors into shared memory; rows are so many elements apart there.
    template <int Height, int StrideN, int StrideK, class Factors>
    BANTAM_HOST_DEVICE void load(const Place& place, int thread, Index row, Factors& factors) const {
        constexpr int together = pack_size<typename Gradient::Scalar>(Size);
        load_rows<Number, Height, tile_n, together>(
            thread, row, place.end, Size - place.n,
            [&](int first) { return output_gradient.template columns<together>(place.group * Size + place.n + first); },
            [&](int i, int first, const auto& values) { store_pack(values, factors.gradient + i * StrideN + first); });
        load_rows<Number, Height, tile_k, Left::together>(
            thread, row, place.end, depth - place.k,
            [&](int first) { return left.template columns<Left::together>(place.group, place.k + first); },
            [&](int i, int first, const auto& values) { store_pack(values, factors.left + i * StrideK + first); });
    }

    BANTAM_HOST_DEVICE void write(const Place& place, int n, int k, double sum) const {
        if (place.n + n < Size && place.k + k < depth)
            partials[(place.part * Groups * Size + place.group * Size + place.n + n) * depth + place.k + k] =
                static_cast<Number>(sum);
    }
};

}  // namespace detail

/// The gradient by multiply-adds: a thread sums a tile of 8×4 in registers over its share of the rows.
template <class Gradient, class Left, int Size, int Groups = 1>
struct WeightGradient : detail::WeightGradientTiles<Gradient, Left, Size, Groups, 8, 4> {
    using Base = detail::WeightGradientTiles<Gradient, Left, Size, Groups, 8, 4>;
    using Base::threads, Base::tile_k, Base::tile_n;
    using typename Base::Number, typename Base::Place;
    static constexpr int min_blocks_per_multiprocessor = 2;
    static constexpr int tall = 8, wide = 4;
    static constexpr int across = tile_k / wide, workers = across * (tile_n / tall);
    static constexpr int lanes = threads / workers;                               ///< shares of the rows
    static constexpr int height = static_cast<int>(ceil_div(32, lanes)) * lanes;  ///< rows at once
    static constexpr int stride_n = tile_n + 4, stride_k = tile_k + 4;
    struct Factors {
        alignas(16) Number gradient[height * stride_n];
        alignas(16) Number left[height * stride_k];
    };
    union Shared {
        Factors factors;
        double totals[wide * threads];
    };

    template <class Block>
    BANTAM_HOST_DEVICE void operator()(const Block& block, Shared& shared) const {
        const Place place{*this, block.index()};
        auto own = block.template per_thread<Values<Number, tall * wide>>();
        for (Index row = place.begin; row < place.end; row += height) {
            block.for_each_thread([&](int thread) {
                this->template load<height, stride_n, stride_k>(place, thread, row, shared.factors);
            });
            block.for_each_thread([&](int thread) {
                if (thread >= workers * lanes) return;
                multiply(shared.factors, thread % workers, thread / workers, own[thread].values);
            });
        }
        BANTAM_CUDA_UNROLL
        for (int i = 0; i < tall; ++i) {
            block.for_each_thread([&](int thread) {
                BANTAM_CUDA_UNROLL
                for (int j = 0; j < wide; ++j) shared.totals[j * threads + thread] = own[thread].values[i * wide + j];
            });
            detail::join_lanes<wide>(block, workers, lanes, shared.totals);
            block.for_each_thread([&](int thread) {
                if (thread >= workers) return;
                BANTAM_CUDA_UNROLL
                for (int j = 0; j < wide; ++j)
                    this->write(place, thread / across * tall + i, thread % across * wide + j,
                                shared.totals[j * threads + thread]);
            });
        }
    }

private:
    BANTAM_HOST_DEVICE static void multiply(const Factors& factors, int worker, int lane, Number* sums) {
        const Number* gradient = factors.gradient + worker / across * tall;
        const Number* left = factors.left + worker % across * wide;
        BANTAM_CUDA_UNROLL
        for (int turn = 0; turn < height / lanes; ++turn) {
            const int i = lane + turn * lanes;
            const auto a = *reinterpret_cast<const Pack<Number, tall>*>(gradient + i * stride_n);
            const auto b = *reinterpret_cast<const Pack<Number, wide>*>(left + i * stride_k);
            BANTAM_CUDA_UNROLL
            for (int n = 0; n < tall; ++n) {
                BANTAM_CUDA_UNROLL
                for (int k = 0; k < wide; ++k) sums[n * wide + k] += a.values[n] * b.values[k];
            }
        }
    }
};

/// The gradient on tensor cores, with factors rounded to `T` and sums in float. Warps share the tile's rows of 16, and
/// where there are more warps than those, the rows of the map.
template <class T, class Gradient, class Left, int Size, int Groups = 1>
struct TensorCoreWeightGradient : detail::WeightGradientTiles<Gradient, Left, Size, Groups, 16, 16> {
    using Base = detail::WeightGradientTiles<Gradient, Left, Size, Groups, 16, 16>;
    using Base::threads, Base::tile_k, Base::tile_n;
    using typename Base::Place;
    static_assert(std::is_same_v<typename Base::Number, float>);
    static constexpr int min_blocks_per_multiprocessor = 2;
    static constexpr int warps = threads / warp_threads;
    static constexpr int workers = tile_n / 16, lanes = warps / workers;
    using Tiles = TensorCoreTiles<T, tile_k / 16>;
    /// Rows at once.
    static constexpr int height = std::max(128 / static_cast<int>(sizeof(T)), lanes* Tiles::depth);
    static constexpr int stride_n = tile_n + 16 / static_cast<int>(sizeof(T));
    static constexpr int stride_k = tile_k + 16 / static_cast<int>(sizeof(T));
    static constexpr int result_stride = tile_k + 4;
    struct Factors {
        alignas(32) T gradient[height * stride_n];
        alignas(32) T left[height * stride_k];
    };
    union alignas(32) Shared {
        Factors factors;
        float results[lanes * tile_n * result_stride];
    };

    template <class Block>
    BANTAM_HOST_DEVICE void operator()(const Block& block, Shared& shared) const {
        const Place place{*this, block.index()};
        auto own = block.template per_warp<Tiles>();
        block.for_each_warp([&](int warp) { own[warp].clear(); });
        for (Index row = place.begin; row < place.end; row += height) {
            block.for_each_thread([&](int thread) {
                this->template load<height, stride_n, stride_k>(place, thread, row, shared.factors);
            });
            block.for_each_warp([&](int warp) {
                if (warp >= workers * lanes) return;
                const T* gradient = shared.factors.gradient + warp % workers * 16;
                BANTAM_CUDA_UNROLL
                for (int from = 0; from < height; from += lanes * Tiles::depth) {
                    const int i = from + warp / workers * Tiles::depth;
                    own[warp].template add<true, false>(gradient + i * stride_n, stride_n,
                                                        shared.factors.left + i * stride_k, stride_k);
                }
            });
        }
        block.for_each_warp([&](int warp) {
            if (warp < workers * lanes) own[warp].store(shared.results + warp * 16 * result_stride, result_stride);
        });
        block.for_each_thread([&](int thread) {
            for (int i = thread; i < tile_n * tile_k; i += threads) {
                const int n = i / tile_k, k = i % tile_k;
                double sum = 0;
                for (int lane = 0; lane < lanes; ++lane)
                    sum += static_cast<double>(shared.results[(lane * tile_n + n) * result_stride + k]);
                this->write(place, n, k, sum);
            }
        });
    }
};

/// One element of the gradient in a part by one thread, summed in double: what blocks are held against.
template <class Gradient, class Left, int Size, int Groups = 1>
struct WeightGradientByElement {
    using Number = typename Left::Number;
    Gradient output_gradient;
    Left left;
    Index rows, rows_per_slice;
    Number* partials;

    BANTAM_HOST_DEVICE void operator()(Index i) const {
        const int k = static_cast<int>(i % Left::depth), n = static_cast<int>(i / Left::depth % (Groups * Size));
        const Index part = i / Left::depth / (Groups * Size);
        const auto of_left = left.template columns<1>(n / Size, k);
        const auto of_gradient = output_gradient.template columns<1>(n);
        double sum = 0;
        for (Index row = part * rows_per_slice; row < rows && row < (part + 1) * rows_per_slice; ++row) {
            Number a, b;
            of_gradient.at(row, &a);
            of_left.at(row, &b);
            sum += static_cast<double>(a) * static_cast<double>(b);
        }
        partials[i] = static_cast<Number>(sum);
    }
};

/// gradient[group · Size + n][k], summed over all rows; takes pass.partials.
template <int Size, int Groups = 1, class S, class Gradient, class Left>
void weight_gradient_gemm(const Pass<S>& pass, Index rows, const Gradient& output_gradient, const Left& left,
                          Compute<S>* gradient) {
    require_countable(rows);
    const auto run = [&]<class Kernel>(std::type_identity<Kernel>) {
        const Index turns =
            std::max<Index>(1, ceil_div(ceil_div(rows, Kernel::height), weight_parts(Size, Groups, Left::depth)));
        const Kernel kernel{{output_gradient, left, rows, turns * Kernel::height, pass.partials}};
        run_blocks(pass, kernel.blocks(), kernel);
        sum_slices(*pass.execution, kernel.parts(), Index{Size} * Groups * Left::depth, pass.partials, gradient);
    };
    if constexpr (std::is_same_v<S, Bfloat16>) {
        run(std::type_identity<TensorCoreWeightGradient<Bfloat16, Gradient, Left, Size, Groups>>{});
    } else {
        if constexpr (std::is_same_v<S, float>)
            if (pass.execution->allows_tf32())
                return run(std::type_identity<TensorCoreWeightGradient<Tf32, Gradient, Left, Size, Groups>>{});
        run(std::type_identity<WeightGradient<Gradient, Left, Size, Groups>>{});
    }
}

}  // namespace bantam::cuda
