// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/cuda/kernels/epilogue.hpp>
#include <bantam/cuda/kernels/row_reduction.hpp>
#include <bantam/cuda/kernels/tensor_core_tile.hpp>
#include <bantam/cuda/runtime/operation.hpp>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <limits>
#include <string>
#include <type_traits>

namespace bantam::cuda {

// A convolution as a product: out[row][n] = Σ over k of left(row, k) · right(k, n), for every row of a map. The left
// factor is read through a source and never stored, the result goes to a sink. Groups of channels are products of
// their own, side by side.

/// The left factor where a row of the product is a row of the source: pointwise convolutions.
template <class Source>
struct PointwiseOperand {
    using Number = Compute<typename Source::Scalar>;
    static constexpr int depth = Source::channels;
    /// Neighbors along k that are read at once, where they lie in packs.
    static constexpr int together = pack_size<typename Source::Scalar>(depth);
    Source source;

    template <int Count>
    BANTAM_HOST_DEVICE auto columns(int /*group*/, int k) const {
        return source.template columns<Count>(k);
    }
};

/// The left factor of dense convolutions: a row of the product sees the source through a window, tap by tap, `In`
/// channels of its group each; zeros in the padding. With `Back` a row is an input's pixel that sees the outputs whose
/// windows it lies in.
template <class Source, class Geometry, bool Back, int In>
struct Im2colOperand {
    using Number = Compute<typename Source::Scalar>;
    static constexpr int depth = static_cast<int>(Geometry::taps) * In;
    static constexpr int together = pack_size<typename Source::Scalar>(In);
    Source source;

    template <int Count>
    struct Columns {
        typename Source::template Columns<Count> source;
        int tap;
        BANTAM_HOST_DEVICE void at(Index row, Number* to) const {
            const int pixel = Back ? Geometry::output_pixel(static_cast<int>(row), tap)
                                   : Geometry::input_pixel(static_cast<int>(row), tap);
            if (pixel >= 0) return source.at(pixel, to);
            BANTAM_CUDA_UNROLL
            for (int j = 0; j < Count; ++j) to[j] = Number(0);
        }
    };
    template <int Count>
    BANTAM_HOST_DEVICE Columns<Count> columns(int group, int k) const {
        return {source.template columns<Count>(group * In + k % In), k / In};
    }
};

/// The right factor in memory, one matrix a group: element (k, n) lies at values[n · stride + k] where `ByColumn`,
/// otherwise at values[k · stride + n].
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

/// Brings `Height` rows from `row` on, `Width` columns of each, into shared memory: `columns_of(first)` reads
/// `Together` neighbors, of columns below `limit`; `store(i, first, values)` takes them, zeros where there are none.
template <class Number, int Height, int Width, int Together, class ColumnsOf, class Store>
BANTAM_HOST_DEVICE void load_rows(int thread, Index row, Index end, int limit, const ColumnsOf& columns_of,
                                  const Store& store) {
    constexpr int packs = Width / Together, lanes = row_threads / packs, turns = (Height + lanes - 1) / lanes;
    static_assert(Width % Together == 0 && packs <= row_threads);
    const int first = thread % packs * Together, lane = thread / packs;
    if (lane >= lanes) return;
    Number values[turns][Together] = {};
    if (first < limit) {
        const auto own = columns_of(first);
        BANTAM_CUDA_UNROLL
        for (int turn = 0; turn < turns; ++turn) {
            const int i = lane + turn * lanes;
            if (i < Height && row + i < end) own.at(row + i, values[turn]);
        }
    }
    BANTAM_CUDA_UNROLL
    for (int turn = 0; turn < turns; ++turn)
        if (lane + turn * lanes < Height) store(lane + turn * lanes, first, values[turn]);
}

/// Neighbors on their way into shared memory, rounded where that is narrower.
template <class T, class Number, int Count>
BANTAM_HOST_DEVICE void store_pack(const Number (&values)[Count], T* to) {
    Pack<T, Count> pack;
    BANTAM_CUDA_UNROLL
    for (int j = 0; j < Count; ++j) pack.values[j] = T(values[j]);
    *reinterpret_cast<Pack<T, Count>*>(to) = pack;
}

/// Hands four neighboring columns of `Height` rows to the sink, `AtOnce` of them at a time: `at(i)` gives row i's
/// four values, `row_of(i)` its place among all rows, or `end` where it is none. `column` is the first one's among
/// the product's `Size`, which are the sink's channels from `channel` on.
template <int Size, int Height, int AtOnce, class Sink, class RowOf, class At>
BANTAM_HOST_DEVICE void store_rows(const Sink& sink, int channel, int column, Index end, const RowOf& row_of,
                                   const At& at, typename Sink::Number* sums) {
    if constexpr (Size % 4 == 0) {
        if (column >= Size) return;
        const auto own = sink.template columns<4>(channel + column);
        BANTAM_CUDA_ROLLED
        for (int first = 0; first < Height; first += AtOnce) {
            BANTAM_CUDA_UNROLL
            for (int i = first; i < first + AtOnce; ++i)
                if (row_of(i) < end) {
                    auto values = at(i);
                    own.put(row_of(i), values.values, sums);
                }
        }
    } else {
        BANTAM_CUDA_UNROLL
        for (int j = 0; j < 4; ++j) {
            if (column + j >= Size) continue;
            const auto own = sink.template columns<1>(channel + column + j);
            BANTAM_CUDA_ROLLED
            for (int first = 0; first < Height; first += AtOnce) {
                BANTAM_CUDA_UNROLL
                for (int i = first; i < first + AtOnce; ++i) {
                    if (row_of(i) >= end) continue;
                    typename Sink::Number value = at(i).values[j], own_sums[epilogue_sums<Sink>] = {};
                    own.put(row_of(i), &value, own_sums);
                    BANTAM_CUDA_UNROLL
                    for (int v = 0; v < Sink::sum_count; ++v) sums[v * 4 + j] += own_sums[v];
                }
            }
        }
    }
}

/// Joins what the threads of a block, `Across` to a row, have summed for a sink in four columns each, and writes it:
/// partials[part][sum][channel].
template <int Size, int Across, class Sink, class Block, class Kept>
BANTAM_HOST_DEVICE void write_column_sums(const Block& block, int channel, int column, Index part, Kept& kept_sums,
                                          double* totals, double* partials) {
    if constexpr (Sink::sum_count > 0) {
        constexpr int kept = 4 * Sink::sum_count;
        block.for_each_thread([&](int thread) {
            BANTAM_CUDA_UNROLL
            for (int v = 0; v < kept; ++v) totals[v * row_threads + thread] = kept_sums[thread].values[v];
        });
        join_lanes<kept>(block, Across, row_threads / Across, totals);
        block.for_each_thread([&](int thread) {
            if (thread >= Across) return;
            BANTAM_CUDA_UNROLL
            for (int v = 0; v < kept; ++v)
                if (column + thread * 4 + v % 4 < Size)
                    partials[(part * Sink::sum_count + v / 4) * Sink::channels + channel + column + thread * 4 +
                             v % 4] = totals[v * row_threads + thread];
        });
    }
}

/// What every way of computing the product shares: how columns fall into tiles of `Columns`, four to a thread, and
/// how results and sums leave a block.
template <class Left_, class Right_, class Sink_, int Size, int Groups, int Columns>
struct ImplicitGemmTiles {
    using Left = Left_;
    using Right = Right_;
    using Sink = Sink_;
    using Number = typename Sink::Number;
    static constexpr int threads = row_threads;
    static constexpr int depth = Left::depth;
    static constexpr int columns = Columns;
    static constexpr int tiles_per_group = static_cast<int>(ceil_div(Size, Columns));
    static constexpr int column_tiles = tiles_per_group * Groups;
    static constexpr int across = Columns / 4, down = threads / across;
    static constexpr int kept = 4 * epilogue_sums<Sink>;  ///< sums of a thread
    static_assert(Size * Groups == Sink::channels);

    Left left;
    Right right;
    Sink sink;
    Index rows, rows_per_slice;
    double* partials;  ///< [part][sum][channel]; null where the sink sums nothing

    Index parts() const { return ceil_div(rows, rows_per_slice); }
    Index blocks() const { return parts() * column_tiles; }

protected:
    /// Which columns and rows a block works on.
    struct Place {
        int group, first;  // first column, in its group
        Index part, begin, end;
        BANTAM_HOST_DEVICE Place(const ImplicitGemmTiles& product, Index index) {
            part = index / column_tiles;
            const int tile = static_cast<int>(index - part * column_tiles);
            group = tile / tiles_per_group;
            first = tile % tiles_per_group * columns;
            begin = part * product.rows_per_slice;
            end = begin + product.rows_per_slice < product.rows ? begin + product.rows_per_slice : product.rows;
        }
    };

    /// Brings [height][chunk] of the left factor from row `row` and depth `k` on; see load_rows.
    template <int Height, int Chunk, class Store>
    BANTAM_HOST_DEVICE void load_left(const Place& place, int thread, Index row, int k, const Store& store) const {
        load_rows<Number, Height, Chunk, Left::together>(
            thread, row, place.end, depth - k,
            [&](int first) { return left.template columns<Left::together>(place.group, k + first); }, store);
    }

    /// Brings [chunk][columns] of the right factor: `store(k, n, value)`.
    template <int Chunk, class Store>
    BANTAM_HOST_DEVICE void load_right(const Place& place, int thread, int k, const Store& store) const {
        BANTAM_CUDA_UNROLL
        for (int i = thread; i < Chunk * columns; i += threads) {
            const int own_k = Right::by_column ? i % Chunk : i / columns;
            const int n = Right::by_column ? i / Chunk : i % columns;
            const bool inside = k + own_k < depth && place.first + n < Size;
            store(own_k, n, inside ? Number(right.at(place.group, k + own_k, place.first + n)) : Number(0));
        }
    }

    /// Hands a thread's four columns to the sink; see store_rows.
    template <int Height, int AtOnce, class RowOf, class At>
    BANTAM_HOST_DEVICE void put(const Place& place, int thread, const RowOf& row_of, const At& at, Number* sums) const {
        store_rows<Size, Height, AtOnce>(sink, place.group * Size, place.first + thread % across * 4, place.end, row_of,
                                         at, sums);
    }
    template <class Block, class Kept>
    BANTAM_HOST_DEVICE void write_sums(const Block& block, const Place& place, Kept& kept_sums, double* totals) const {
        write_column_sums<Size, across, Sink>(block, place.group * Size, place.first, place.part, kept_sums, totals,
                                              partials);
    }
};

/// Columns in pieces as equal as can be, each a multiple of `Multiple`.
inline constexpr int widest_columns = 64;
template <int Multiple>
constexpr int product_columns(int size) {
    return static_cast<int>(ceil_div(even_split(size, widest_columns), Multiple)) * Multiple;
}

}  // namespace detail

/// The product by multiply-adds: a thread sums a tile of up to 8×4 in registers.
template <class Left, class Right, class Sink, int Size, int Groups = 1>
struct ImplicitGemm : detail::ImplicitGemmTiles<Left, Right, Sink, Size, Groups, detail::product_columns<4>(Size)> {
    using Base = detail::ImplicitGemmTiles<Left, Right, Sink, Size, Groups, detail::product_columns<4>(Size)>;
    using Base::across, Base::columns, Base::depth, Base::down, Base::threads;
    using typename Base::Number, typename Base::Place;
    static constexpr int min_blocks_per_multiprocessor = 2;
    static constexpr int tall = std::bit_floor(static_cast<unsigned>(std::clamp(256 / down, 1, 8)));
    static constexpr int height = tall * down;  ///< rows that a block works on at once
    static constexpr int chunk = static_cast<int>(ceil_div(even_split(depth, 16), Left::together)) * Left::together;
    static constexpr int left_stride = static_cast<int>(ceil_div(height, 4)) * 4 + 4;
    struct Factors {
        alignas(16) Number left[chunk * left_stride];  // [k][row]
        alignas(16) Number right[chunk * columns];     // [k][column]
    };
    union Shared {
        Factors factors;
        double totals[Base::kept * threads];
    };

    template <class Block>
    BANTAM_HOST_DEVICE void operator()(const Block& block, Shared& shared) const {
        const Place place{*this, block.index()};
        auto sums = block.template per_thread<Values<Number, Base::kept>>();
        auto own = block.template per_thread<Values<Number, tall * 4>>();
        for (Index row = place.begin; row < place.end; row += height) {
            for (int k = 0; k < depth; k += chunk) {
                block.for_each_thread([&](int thread) {
                    this->template load_left<height, chunk>(
                        place, thread, row, k, [&](int i, int first, const auto& values) {
                            BANTAM_CUDA_UNROLL
                            for (int j = 0; j < Left::together; ++j)
                                shared.factors.left[(first + j) * left_stride + i] = values[j];
                        });
                    this->template load_right<chunk>(place, thread, k, [&](int own_k, int n, Number value) {
                        shared.factors.right[own_k * columns + n] = value;
                    });
                });
                block.for_each_thread([&](int thread) {
                    if (thread >= across * down) return;
                    multiply(shared.factors, thread, k == 0, own[thread].values);
                });
            }
            block.for_each_thread_alone([&](int thread) {
                if (thread >= across * down) return;
                const Index first = row + thread / across * tall;
                this->template put<tall, tall>(
                    place, thread, [&](int i) { return first + i; },
                    [&](int i) {
                        Pack<Number, 4> values;
                        BANTAM_CUDA_UNROLL
                        for (int j = 0; j < 4; ++j) values.values[j] = own[thread].values[i * 4 + j];
                        return values;
                    },
                    sums[thread].values);
            });
        }
        this->write_sums(block, place, sums, shared.totals);
    }

private:
    BANTAM_HOST_DEVICE static void multiply(const Factors& factors, int thread, bool first, Number* sums) {
        const Number* left = factors.left + thread / across * tall;
        const Number* right = factors.right + thread % across * 4;
        if (first) {
            BANTAM_CUDA_UNROLL
            for (int i = 0; i < tall * 4; ++i) sums[i] = Number(0);
        }
        BANTAM_CUDA_UNROLL
        for (int k = 0; k < chunk; ++k) {
            const auto a = *reinterpret_cast<const Pack<Number, tall>*>(left + k * left_stride);
            const auto b = *reinterpret_cast<const Pack<Number, 4>*>(right + k * columns);
            BANTAM_CUDA_UNROLL
            for (int i = 0; i < tall; ++i) {
                BANTAM_CUDA_UNROLL
                for (int j = 0; j < 4; ++j) sums[i * 4 + j] += a.values[i] * b.values[j];
            }
        }
    }
};

/// The product on tensor cores, with factors rounded to `T` and sums in float: a warp sums 16 rows.
template <class T, class Left, class Right, class Sink, int Size, int Groups = 1>
struct TensorCoreImplicitGemm
    : detail::ImplicitGemmTiles<Left, Right, Sink, Size, Groups, detail::product_columns<16>(Size)> {
    using Base = detail::ImplicitGemmTiles<Left, Right, Sink, Size, Groups, detail::product_columns<16>(Size)>;
    using Base::across, Base::columns, Base::depth, Base::down, Base::threads;
    using typename Base::Place;
    static_assert(std::is_same_v<typename Base::Number, float>);
    static constexpr int min_blocks_per_multiprocessor = 2;
    using Tiles = TensorCoreTiles<T, columns / 16>;
    static constexpr int height = threads / warp_threads * Tiles::side;  ///< rows that a block works on at once
    static constexpr int chunk =
        static_cast<int>(ceil_div(even_split(depth, 128 / static_cast<int>(sizeof(T))), 16)) * 16;
    static constexpr int stride = chunk + 16 / static_cast<int>(sizeof(T));  // rows begin in different banks
    static constexpr int result_stride = columns + 4;
    struct Factors {
        T left[height * stride];    // [row][k]
        T right[columns * stride];  // [column][k]
    };
    union alignas(32) Shared {
        Factors factors;
        float results[height * result_stride];
        double totals[Base::kept * threads];
    };

    template <class Block>
    BANTAM_HOST_DEVICE void operator()(const Block& block, Shared& shared) const {
        const Place place{*this, block.index()};
        auto sums = block.template per_thread<Values<float, Base::kept>>();
        auto own = block.template per_warp<Tiles>();
        for (Index row = place.begin; row < place.end; row += height) {
            for (int k = 0; k < depth; k += chunk) {
                block.for_each_thread([&](int thread) {
                    this->template load_left<height, chunk>(
                        place, thread, row, k, [&](int i, int first, const auto& values) {
                            detail::store_pack(values, shared.factors.left + i * stride + first);
                        });
                    this->template load_right<chunk>(place, thread, k, [&](int own_k, int n, float value) {
                        shared.factors.right[n * stride + own_k] = T(value);
                    });
                });
                block.for_each_warp([&](int warp) {
                    Tiles& tiles = own[warp];
                    if (k == 0) tiles.clear();
                    BANTAM_CUDA_UNROLL
                    for (int from = 0; from < chunk; from += Tiles::depth)
                        tiles.template add<false, true>(shared.factors.left + warp * Tiles::side * stride + from,
                                                        stride, shared.factors.right + from, stride);
                });
            }
            block.for_each_warp(
                [&](int warp) { own[warp].store(shared.results + warp * Tiles::side * result_stride, result_stride); });
            block.for_each_thread([&](int thread) {
                if (thread >= across * down) return;
                constexpr int at_once = 4, turns = static_cast<int>(ceil_div(height, at_once * down)) * at_once;
                const int lane = thread / across;
                const auto row_of = [&](int i) { return lane + i * down < height ? row + lane + i * down : place.end; };
                const float* results = shared.results + thread % across * 4;
                this->template put<turns, at_once>(
                    place, thread, row_of,
                    [&](int i) {
                        return *reinterpret_cast<const Pack<float, 4>*>(results + (lane + i * down) * result_stride);
                    },
                    sums[thread].values);
            });
        }
        this->write_sums(block, place, sums, shared.totals);
    }
};

/// The same with one thread a column and part, each element summed in double: what blocks are held against.
template <class Left, class Right, class Sink, int Size, int Groups = 1>
struct ImplicitGemmByColumn {
    using Number = typename Sink::Number;
    Left left;
    Right right;
    Sink sink;
    Index rows, rows_per_slice;
    double* partials;

    BANTAM_HOST_DEVICE void operator()(Index i) const {
        const Index part = i / Sink::channels;
        const int channel = static_cast<int>(i % Sink::channels);
        const auto own = sink.template columns<1>(channel);
        Number sums[epilogue_sums<Sink>] = {};
        for (Index row = part * rows_per_slice; row < rows && row < (part + 1) * rows_per_slice; ++row) {
            double sum = 0;
            for (int k = 0; k < Left::depth; ++k) {
                Number value;
                left.template columns<1>(channel / Size, k).at(row, &value);
                sum += static_cast<double>(value) * static_cast<double>(right.at(channel / Size, k, channel % Size));
            }
            Number value = static_cast<Number>(sum);
            own.put(row, &value, sums);
        }
        for (int v = 0; v < Sink::sum_count; ++v)
            partials[(part * Sink::sum_count + v) * Sink::channels + channel] = static_cast<double>(sums[v]);
    }
};

/// Rows of a product are counted in 32 bits where windows are found. Throws Error where a batch has more.
inline void require_countable(Index rows) {
    if (rows > std::numeric_limits<int>::max())
        throw Error("the batch's maps have " + std::to_string(rows) +
                    " positions, more than can be counted here; take a smaller batch");
}

/// Runs a product; gives the number of parts that the sink's sums are in, `max_slices` at most, at pass.sums.
template <int Size, int Groups = 1, class S, class Left, class Right, class Sink>
Index implicit_gemm(const Pass<S>& pass, Index rows, const Left& left, const Right& right, const Sink& sink) {
    require_countable(rows);
    const auto run = [&]<class Kernel>(std::type_identity<Kernel>) {
        // Where nothing is summed a block has as little to do as can be.
        const Index tiles = ceil_div(rows, Kernel::height);
        const Index tiles_per_slice = Sink::sum_count > 0 ? ceil_div(tiles, max_slices) : 1;
        const Kernel kernel{{left, right, sink, rows, tiles_per_slice * Kernel::height, pass.sums}};
        run_blocks(pass, kernel.blocks(), kernel);
        return kernel.parts();
    };
    if constexpr (std::is_same_v<S, Bfloat16>)
        return run(std::type_identity<TensorCoreImplicitGemm<Bfloat16, Left, Right, Sink, Size, Groups>>{});
    if constexpr (std::is_same_v<S, float>)
        if (pass.execution->allows_tf32())
            return run(std::type_identity<TensorCoreImplicitGemm<Tf32, Left, Right, Sink, Size, Groups>>{});
    if constexpr (!std::is_same_v<S, Bfloat16>)
        return run(std::type_identity<ImplicitGemm<Left, Right, Sink, Size, Groups>>{});
}

}  // namespace bantam::cuda
