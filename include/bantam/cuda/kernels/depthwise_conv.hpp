// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/core/shape.hpp>
#include <bantam/cuda/kernels/epilogue.hpp>
#include <bantam/cuda/kernels/row_reduction.hpp>
#include <bantam/cuda/runtime/operation.hpp>

#include <algorithm>
#include <cstddef>
#include <limits>

namespace bantam::cuda {

// A block takes a tile of a map times a chunk of channels. It brings the patch of the other map that the tile
// needs into shared memory once; each thread then works on a run of neighbors in a row for one channel.

/// Along one axis, from input to output: where in its patch a tile's output `i` finds tap `k`.
template <Index Kernel, Index Stride, Index Padding, Index Dilation>
struct TapsForward {
    static constexpr int kernel = Kernel;
    static constexpr int multiple = 1;  ///< a tile's sides are multiples of this

    /// Side of the patch for a tile of `count`.
    static constexpr Index extent(Index count) { return (count - 1) * Stride + (Kernel - 1) * Dilation + 1; }
    /// Where in the map the patch of a tile that begins at `begin` begins; negative in the padding.
    BANTAM_HOST_DEVICE static constexpr int first(int begin) { return begin * int{Stride} - int{Padding}; }
    BANTAM_HOST_DEVICE static constexpr bool reaches(int, int) { return true; }
    BANTAM_HOST_DEVICE static constexpr int position(int i, int k) { return i * int{Stride} + k * int{Dilation}; }
    /// position(begin + i, k) − position(i, k), where `begin` is a multiple of `multiple`.
    BANTAM_HOST_DEVICE static constexpr int shift(int begin) { return begin * int{Stride}; }
};

/// From the output's gradient to the input's: where input `i` finds the output whose tap `k` it is under.
template <Index Kernel, Index Stride, Index Padding, Index Dilation>
struct TapsBack {
    static constexpr int kernel = Kernel;
    static constexpr int multiple = Stride;

    // Whole strides that keep dividends from getting negative, and the first output that a tile at 0 needs.
    static constexpr int lift = (Kernel - 1) * Dilation;
    static constexpr int lowest = (Padding + Stride * lift - (Kernel - 1) * Dilation + Stride - 1) / Stride - lift;

    static constexpr Index extent(Index count) {
        return (count - 1 + Padding + Stride * lift) / Stride - lift - lowest + 1;
    }
    BANTAM_HOST_DEVICE static constexpr int first(int begin) { return begin / int{Stride} + lowest; }
    BANTAM_HOST_DEVICE static constexpr int lifted(int i, int k) {
        return i + int{Padding} + int{Stride} * lift - k * int{Dilation};
    }
    /// Strides may step over an input.
    BANTAM_HOST_DEVICE static constexpr bool reaches(int i, int k) { return lifted(i, k) % int{Stride} == 0; }
    BANTAM_HOST_DEVICE static constexpr int position(int i, int k) {
        return lifted(i, k) / int{Stride} - lift - lowest;
    }
    BANTAM_HOST_DEVICE static constexpr int shift(int begin) { return begin / int{Stride}; }
};

/// How the maps `To` of a batch fall into tiles whose patches of `From` fit shared memory.
template <class Taps, Shape From, Shape To, class S>
struct DepthwiseTiles {
    static constexpr int threads = detail::row_threads;
    static constexpr int kernel = Taps::kernel;
    static constexpr int taps = kernel * kernel;
    static constexpr int channels = To.channels;
    static constexpr int chunk = even_split(To.channels, 32);
    static constexpr int chunks = ceil_div(To.channels, chunk);
    static constexpr int lanes = threads / chunk;  ///< runs that a block works on at once

    using Number = Compute<S>;  ///< of what lies in shared memory

    struct Tile {
        Index height, across, run;  // `across` runs of `run` pixels in a row
        constexpr Index width() const { return across * run; }
        constexpr Index patch_pixels() const { return Taps::extent(height) * Taps::extent(width()); }
        constexpr Index bytes() const { return (patch_pixels() + taps) * chunk * static_cast<Index>(sizeof(Number)); }
    };
    /// A tile of at least this size with as many runs as there are lanes, where it is large enough.
    static constexpr Tile tile_of(Index rows, Index columns) {
        const auto whole = [](Index size) { return ceil_div(size, Taps::multiple) * Taps::multiple; };
        const Index runs_in_row = std::clamp<Index>(lanes / whole(rows), 1, ceil_div(columns, Taps::multiple));
        return {whole(rows), runs_in_row, whole(ceil_div(columns, runs_in_row))};
    }
    /// Runs of eight and a row for each lane; smaller where the patch would leave a GPU's multiprocessor room
    /// for a few blocks only.
    static constexpr Tile tile = [] {
        constexpr Index preferred_bytes = 32 << 10;
        Index rows = even_split(To.height, lanes);
        Index columns = even_split(To.width, 8 * std::max<Index>(1, lanes / rows));
        while (tile_of(rows, columns).bytes() > preferred_bytes && (rows > 1 || columns > 1))
            if (rows >= columns)
                rows = even_split(To.height, rows - 1);
            else
                columns = even_split(To.width, columns - 1);
        return tile_of(rows, columns);
    }();

    /// Whether blocks serve: the patch fits, and is not more than what the tile's taps find one by one.
    static constexpr bool fit = tile.bytes() <= static_cast<Index>(max_shared_bytes) &&
                                tile.patch_pixels() <= taps * tile.height * tile.width() &&
                                std::max(element_count(From), element_count(To)) <= std::numeric_limits<int>::max();

    static constexpr int height = fit ? tile.height : 1, width = fit ? tile.width() : 1;
    static constexpr int across = tile.across, run = tile.run;
    static constexpr int runs = height * across;
    static constexpr int patch_height = fit ? Taps::extent(height) : 1, patch_width = fit ? Taps::extent(width) : 1;
    static constexpr int patch_pixels = patch_height * patch_width;
    static constexpr int tiles_across = ceil_div(To.width, width);
    static constexpr int tiles = tiles_across * ceil_div(To.height, height);  ///< a map

    static constexpr int from_height = From.height, from_width = From.width;
    static constexpr int to_height = To.height, to_width = To.width;
    static constexpr Index from_pixels = pixel_count(From), to_pixels = pixel_count(To);

    /// Where a tile begins.
    struct Place {
        Index sample;
        int y, x;
        BANTAM_HOST_DEVICE explicit Place(Index index) : sample{index / tiles} {
            const int in_map = static_cast<int>(index - sample * tiles);
            y = in_map / tiles_across * height;
            x = in_map % tiles_across * width;
        }
    };

    /// A thread's channel, in the chunk and in the map, and its lane.
    struct Worker {
        int c, channel, lane;
        bool inside;
        BANTAM_HOST_DEVICE Worker(int first_channel, int thread)
            : c{thread % chunk},
              channel{first_channel + c},
              lane{thread / chunk},
              inside{lane < lanes && channel < channels} {}
    };

    /// Brings a worker's share of the patch: zeros outside the map.
    template <class Source>
    BANTAM_HOST_DEVICE static void load_patch(const Source& source, const Place& place, const Worker& worker,
                                              Number* patch) {
        if (!worker.inside) return;
        const auto map = source.template columns<1>(worker.channel);
        const Index first = place.sample * from_pixels;
        const int top = Taps::first(place.y), left = Taps::first(place.x);
        // Some pixels at once, so that memory is kept busy.
        constexpr int at_once = 4;
        for (int pixel = worker.lane; pixel < patch_pixels; pixel += at_once * lanes) {
            Number values[at_once] = {};
            BANTAM_CUDA_UNROLL
            for (int j = 0; j < at_once; ++j) {
                const int own = pixel + j * lanes, y = top + own / patch_width, x = left + own % patch_width;
                if (own < patch_pixels && y >= 0 && y < from_height && x >= 0 && x < from_width)
                    map.at(first + y * from_width + x, values + j);
            }
            BANTAM_CUDA_UNROLL
            for (int j = 0; j < at_once; ++j)
                if (pixel + j * lanes < patch_pixels) patch[(pixel + j * lanes) * chunk + worker.c] = values[j];
        }
    }

    /// Brings a chunk's weights, which lie [channel][tap], as [tap][channel].
    BANTAM_HOST_DEVICE static void load_weights(const Number* weights, int first_channel, int thread, Number* to) {
        const Number* own = weights + first_channel * taps;
        for (int i = thread; i < taps * chunk; i += threads)
            if (first_channel + i / taps < channels) to[i % taps * chunk + i / taps] = own[i];
    }

    /// A run of neighbors in a row of a tile.
    struct Run {
        int row, begin;  // in the tile
        int x;           // in the map
        Index first;     // its first pixel, counted over the samples
        bool inside;
        BANTAM_HOST_DEVICE Run(const Place& place, int index) : row{index / across}, begin{index % across * run} {
            const int y = place.y + row;
            x = place.x + begin;
            first = place.sample * to_pixels + y * to_width + x;
            inside = y < to_height;
        }
    };

    /// Where a worker finds what tap row `ky` of a run needs.
    BANTAM_HOST_DEVICE static const Number* line_of(const Number* patch, const Run& own, int ky, const Worker& worker) {
        return patch + (Taps::position(own.row, ky) * patch_width + Taps::shift(own.begin)) * chunk + worker.c;
    }
};

namespace detail {

/// A block's share of the tiles: one, or as many as make `max_slices` of all where anything is summed over them.
template <class Tiles>
struct TileParts {
    Index tiles, tiles_per_slice;

    static TileParts of(Index samples, bool summed) {
        const Index tiles = samples * Tiles::tiles;
        return {tiles, summed ? std::max<Index>(1, ceil_div(tiles, max_slices)) : 1};
    }
    Index count() const { return ceil_div(tiles, tiles_per_slice); }
    Index blocks() const { return count() * Tiles::chunks; }

    struct Share {
        Index part, begin, end;
        int first_channel;
    };
    BANTAM_HOST_DEVICE Share share(Index block) const {
        const Index part = block / Tiles::chunks, begin = part * tiles_per_slice;
        return {part, begin, begin + tiles_per_slice < tiles ? begin + tiles_per_slice : tiles,
                static_cast<int>(block - part * Tiles::chunks) * Tiles::chunk};
    }
};

/// Joins what a block's workers have summed for a sink and writes it: to[part][sum][channel].
template <class Tiles, int Sums, class Block, class Kept>
BANTAM_HOST_DEVICE void write_sink_sums(const Block& block, const typename TileParts<Tiles>::Share& share, Kept& kept,
                                        double* totals, double* to) {
    if constexpr (Sums > 0) {
        block.for_each_thread([&](int thread) {
            BANTAM_CUDA_UNROLL
            for (int v = 0; v < Sums; ++v) totals[v * Tiles::threads + thread] = kept[thread].values[v];
        });
        join_lanes<Sums>(block, Tiles::chunk, Tiles::lanes, totals);
        block.for_each_thread([&](int thread) {
            const typename Tiles::Worker worker{share.first_channel, thread};
            if (!worker.inside || worker.lane > 0) return;
            BANTAM_CUDA_UNROLL
            for (int v = 0; v < Sums; ++v)
                to[(share.part * Sums + v) * Tiles::channels + worker.channel] = totals[v * Tiles::threads + thread];
        });
    }
}

}  // namespace detail

/// sink = the sums over the taps of weight · source: a depthwise convolution. Weights are [channel][tap].
template <class Taps, Shape From, Shape To, class Source, class Sink>
struct DepthwiseForwardTiled {
    using S = typename Source::Scalar;
    using Tiles = DepthwiseTiles<Taps, From, To, S>;
    using Number = Compute<S>;
    static constexpr int threads = Tiles::threads;
    static constexpr int chunk = Tiles::chunk;
    static constexpr int kept = epilogue_sums<Sink>;
    struct Factors {
        Number patch[Tiles::patch_pixels * chunk];
        Number weights[Tiles::taps * chunk];  // [tap][channel]
    };
    union Shared {
        Factors factors;
        double totals[kept * threads];
    };
    static constexpr bool fit = Tiles::fit;

    Source source;
    Sink sink;
    const Number* weights;
    detail::TileParts<Tiles> parts;
    double* sums;  ///< [part][sum][channel]

    template <class Block>
    BANTAM_HOST_DEVICE void operator()(const Block& block, Shared& shared) const {
        const auto share = parts.share(block.index());
        auto own = block.template per_thread<Values<Number, kept>>();
        block.for_each_thread_alone(
            [&](int thread) { Tiles::load_weights(weights, share.first_channel, thread, shared.factors.weights); });
        for (Index tile = share.begin; tile < share.end; ++tile) {
            const typename Tiles::Place place{tile};
            block.for_each_thread([&](int thread) {
                Tiles::load_patch(source, place, typename Tiles::Worker{share.first_channel, thread},
                                  shared.factors.patch);
            });
            block.for_each_thread([&](int thread) {
                const typename Tiles::Worker worker{share.first_channel, thread};
                if (!worker.inside) return;
                const auto columns = sink.template columns<1>(worker.channel);
                for (int run = worker.lane; run < Tiles::runs; run += Tiles::lanes)
                    put_run(place, worker, run, shared.factors, columns, own[thread].values);
            });
        }
        detail::write_sink_sums<Tiles, Sink::sum_count>(block, share, own, shared.totals, sums);
    }

private:
    template <class Columns>
    BANTAM_HOST_DEVICE static void put_run(const typename Tiles::Place& place, const typename Tiles::Worker& worker,
                                           int index, const Factors& factors, const Columns& columns,
                                           Number* sink_sums) {
        const typename Tiles::Run run{place, index};
        if (!run.inside) return;
        Number results[Tiles::run] = {};
        for (int ky = 0; ky < Tiles::kernel; ++ky) {
            if (!Taps::reaches(run.row, ky)) continue;
            const Number* line = Tiles::line_of(factors.patch, run, ky, worker);
            BANTAM_CUDA_UNROLL
            for (int kx = 0; kx < Tiles::kernel; ++kx) {
                const Number weight = factors.weights[(ky * Tiles::kernel + kx) * chunk + worker.c];
                BANTAM_CUDA_UNROLL
                for (int j = 0; j < Tiles::run; ++j)
                    if (Taps::reaches(j, kx)) results[j] += line[Taps::position(j, kx) * chunk] * weight;
            }
        }
        BANTAM_CUDA_UNROLL
        for (int j = 0; j < Tiles::run; ++j)
            if (run.x + j < Tiles::to_width) columns.put(run.first + j, results + j, sink_sums);
    }
};

/// The way back of a depthwise convolution in one go: what a patch of dL/d(output) holds serves the input's gradient,
/// which goes to the sink, and the weight's, whose other factor is the input: partials[part][channel][tap].
template <class Taps, Shape Output, Shape Input, class Gradient, class Source, class Sink>
struct DepthwiseBackwardTiled {
    using S = typename Source::Scalar;
    using Tiles = DepthwiseTiles<Taps, Output, Input, S>;
    using Number = Compute<S>;
    static constexpr int threads = Tiles::threads;
    static constexpr int chunk = Tiles::chunk;
    static constexpr int kernel = Tiles::kernel;
    static constexpr int taps = Tiles::taps;
    static constexpr int kept = epilogue_sums<Sink>;
    struct Factors {
        Number patch[Tiles::patch_pixels * chunk];
        Number weights[taps * chunk];  // [tap][channel]
    };
    union Shared {
        Factors factors;
        double totals[std::max(kernel, kept) * threads];
    };
    /// A total a tap has to stay in a thread's registers.
    static constexpr bool fit = Tiles::fit && taps <= 49 && sizeof(Shared) <= max_shared_bytes;

    Gradient output_gradient;
    Source source;
    Sink sink;
    const Number* weights;
    detail::TileParts<Tiles> parts;
    Number* partials;
    double* sums;  ///< [part][sum][channel]

    template <class Block>
    BANTAM_HOST_DEVICE void operator()(const Block& block, Shared& shared) const {
        const auto share = parts.share(block.index());
        auto own = block.template per_thread<Values<Number, taps>>();
        auto own_sums = block.template per_thread<Values<Number, kept>>();
        block.for_each_thread_alone(
            [&](int thread) { Tiles::load_weights(weights, share.first_channel, thread, shared.factors.weights); });
        for (Index tile = share.begin; tile < share.end; ++tile) {
            const typename Tiles::Place place{tile};
            block.for_each_thread([&](int thread) {
                Tiles::load_patch(output_gradient, place, typename Tiles::Worker{share.first_channel, thread},
                                  shared.factors.patch);
            });
            block.for_each_thread([&](int thread) {
                const typename Tiles::Worker worker{share.first_channel, thread};
                if (!worker.inside) return;
                const auto from = source.template columns<1>(worker.channel);
                const auto to = sink.template columns<1>(worker.channel);
                for (int run = worker.lane; run < Tiles::runs; run += Tiles::lanes)
                    work_run(place, worker, run, shared.factors, from, to, own[thread].values, own_sums[thread].values);
            });
        }
        // The lanes' totals are joined for one row of the kernel after the other.
        BANTAM_CUDA_UNROLL
        for (int ky = 0; ky < kernel; ++ky) {
            block.for_each_thread([&](int thread) {
                BANTAM_CUDA_UNROLL
                for (int kx = 0; kx < kernel; ++kx)
                    shared.totals[kx * threads + thread] = own[thread].values[ky * kernel + kx];
            });
            detail::join_lanes<kernel>(block, chunk, Tiles::lanes, shared.totals);
            block.for_each_thread([&](int thread) {
                const typename Tiles::Worker worker{share.first_channel, thread};
                if (!worker.inside || worker.lane > 0) return;
                Number* to = partials + (share.part * Tiles::channels + worker.channel) * taps + ky * kernel;
                BANTAM_CUDA_UNROLL
                for (int kx = 0; kx < kernel; ++kx) to[kx] = static_cast<Number>(shared.totals[kx * threads + thread]);
            });
        }
        detail::write_sink_sums<Tiles, Sink::sum_count>(block, share, own_sums, shared.totals, sums);
    }

private:
    template <class From, class To>
    BANTAM_HOST_DEVICE static void work_run(const typename Tiles::Place& place, const typename Tiles::Worker& worker,
                                            int index, const Factors& factors, const From& from, const To& to,
                                            Number* totals, Number* sink_sums) {
        const typename Tiles::Run run{place, index};
        if (!run.inside) return;
        Number input[Tiles::run] = {}, results[Tiles::run] = {};
        BANTAM_CUDA_UNROLL
        for (int j = 0; j < Tiles::run; ++j)
            if (run.x + j < Tiles::to_width) from.at(run.first + j, input + j);
        BANTAM_CUDA_UNROLL
        for (int ky = 0; ky < kernel; ++ky) {
            if (!Taps::reaches(run.row, ky)) continue;
            const Number* line = Tiles::line_of(factors.patch, run, ky, worker);
            BANTAM_CUDA_UNROLL
            for (int kx = 0; kx < kernel; ++kx) {
                const Number weight = factors.weights[(ky * kernel + kx) * chunk + worker.c];
                // A run's sum first: short sums lose less.
                Number total{};
                BANTAM_CUDA_UNROLL
                for (int j = 0; j < Tiles::run; ++j)
                    if (Taps::reaches(j, kx)) {
                        const Number gradient = line[Taps::position(j, kx) * chunk];
                        results[j] += gradient * weight;
                        total += gradient * input[j];
                    }
                totals[ky * kernel + kx] += total;
            }
        }
        BANTAM_CUDA_UNROLL
        for (int j = 0; j < Tiles::run; ++j)
            if (run.x + j < Tiles::to_width) to.put(run.first + j, results + j, sink_sums);
    }
};

}  // namespace bantam::cuda
