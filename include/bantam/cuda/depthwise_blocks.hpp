// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/core/shape.hpp>
#include <bantam/cuda/operation.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace bantam::cuda {

// A block takes a tile of a map times a chunk of channels. It brings the patch of the other map that the tile
// needs into shared memory once; each thread then works on a run of neighbours in a row for one channel.

/// Along one axis, from input to output: where in its patch a tile's output `i` finds tap `k`.
template <std::int64_t Kernel, std::int64_t Stride, std::int64_t Padding, std::int64_t Dilation>
struct TapsForward {
    static constexpr int kernel = Kernel;
    static constexpr int multiple = 1;  ///< a tile's sides are multiples of this

    /// Side of the patch for a tile of `count`.
    static constexpr std::int64_t extent(std::int64_t count) {
        return (count - 1) * Stride + (Kernel - 1) * Dilation + 1;
    }
    /// Where in the map the patch of a tile that begins at `begin` begins; negative in the padding.
    BANTAM_HOST_DEVICE static constexpr int first(int begin) { return begin * int{Stride} - int{Padding}; }
    BANTAM_HOST_DEVICE static constexpr bool reaches(int, int) { return true; }
    BANTAM_HOST_DEVICE static constexpr int position(int i, int k) { return i * int{Stride} + k * int{Dilation}; }
    /// position(begin + i, k) − position(i, k), where `begin` is a multiple of `multiple`.
    BANTAM_HOST_DEVICE static constexpr int shift(int begin) { return begin * int{Stride}; }
};

/// From the output's gradient to the input's: where input `i` finds the output whose tap `k` it is under.
template <std::int64_t Kernel, std::int64_t Stride, std::int64_t Padding, std::int64_t Dilation>
struct TapsBack {
    static constexpr int kernel = Kernel;
    static constexpr int multiple = Stride;

    // Whole strides that keep dividends from getting negative, and the first output that a tile at 0 needs.
    static constexpr int lift = (Kernel - 1) * Dilation;
    static constexpr int lowest =
        (Padding + Stride * lift - (Kernel - 1) * Dilation + Stride - 1) / Stride - lift;

    static constexpr std::int64_t extent(std::int64_t count) {
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
    static constexpr int chunk = piece_size(To.channels, 32);
    static constexpr int chunks = piece_count(To.channels, chunk);
    static constexpr int lanes = threads / chunk;  ///< runs that a block works on at once

    using Number = Arithmetic<S>;  ///< of what lies in shared memory

    struct Tile {
        std::int64_t height, across, run;  // `across` runs of `run` pixels in a row
        constexpr std::int64_t width() const { return across * run; }
        constexpr std::int64_t patch_pixels() const { return Taps::extent(height) * Taps::extent(width()); }
        constexpr std::int64_t bytes() const {
            return (patch_pixels() + taps) * chunk * static_cast<std::int64_t>(sizeof(Number));
        }
    };
    /// A tile of at least this size with as many runs as there are lanes, where it is large enough.
    static constexpr Tile tile_of(std::int64_t rows, std::int64_t columns) {
        const auto whole = [](std::int64_t size) { return piece_count(size, Taps::multiple) * Taps::multiple; };
        const std::int64_t runs_in_row =
            std::clamp<std::int64_t>(lanes / whole(rows), 1, piece_count(columns, Taps::multiple));
        return {whole(rows), runs_in_row, whole(piece_count(columns, runs_in_row))};
    }
    /// Runs of eight and a row for each lane; smaller where the patch would leave a GPU's multiprocessor room
    /// for a few blocks only.
    static constexpr Tile tile = [] {
        constexpr std::int64_t preferred_bytes = 32 << 10;
        std::int64_t rows = piece_size(To.height, lanes);
        std::int64_t columns = piece_size(To.width, 8 * std::max<std::int64_t>(1, lanes / rows));
        while (tile_of(rows, columns).bytes() > preferred_bytes && (rows > 1 || columns > 1))
            if (rows >= columns)
                rows = piece_size(To.height, rows - 1);
            else
                columns = piece_size(To.width, columns - 1);
        return tile_of(rows, columns);
    }();

    /// Whether blocks serve: the patch fits, and is not more than what the tile's taps find one by one.
    static constexpr bool fit = tile.bytes() <= static_cast<std::int64_t>(max_shared_bytes) &&
                                tile.patch_pixels() <= taps * tile.height * tile.width() &&
                                std::max(element_count(From), element_count(To)) <= std::numeric_limits<int>::max();

    static constexpr int height = fit ? tile.height : 1, width = fit ? tile.width() : 1;
    static constexpr int across = tile.across, run = tile.run;
    static constexpr int runs = height * across;
    static constexpr int patch_height = fit ? Taps::extent(height) : 1, patch_width = fit ? Taps::extent(width) : 1;
    static constexpr int patch_pixels = patch_height * patch_width;
    static constexpr int tiles_across = piece_count(To.width, width);
    static constexpr int tiles = tiles_across * piece_count(To.height, height);  ///< a map

    static constexpr int from_height = From.height, from_width = From.width;
    static constexpr int to_height = To.height, to_width = To.width;
    static constexpr std::int64_t from_elements = element_count(From), to_elements = element_count(To);

    /// Where a tile begins.
    struct Place {
        std::int64_t sample;
        int y, x;
        BANTAM_HOST_DEVICE explicit Place(std::int64_t index) : sample{index / tiles} {
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
    BANTAM_HOST_DEVICE static void load_patch(const S* from, const Place& place, const Worker& worker, Number* patch) {
        if (!worker.inside) return;
        const S* map = from + place.sample * from_elements + worker.channel;
        const int top = Taps::first(place.y), left = Taps::first(place.x);
        for (int pixel = worker.lane; pixel < patch_pixels; pixel += lanes) {
            const int y = top + pixel / patch_width, x = left + pixel % patch_width;
            const bool in_map = y >= 0 && y < from_height && x >= 0 && x < from_width;
            patch[pixel * chunk + worker.c] = in_map ? Number(map[(y * from_width + x) * channels]) : Number(0);
        }
    }
};

/// to = the sums over the taps of weight · from: a depthwise convolution, or the way back to its input.
/// Weights are [channel][tap]; the bias, behind them, may be null.
template <class Taps, Shape From, Shape To, class S>
struct DepthwiseInBlocks {
    using Tiles = DepthwiseTiles<Taps, From, To, S>;
    using Number = Arithmetic<S>;
    static constexpr int threads = Tiles::threads;
    static constexpr int chunk = Tiles::chunk;
    struct Shared {
        Number patch[Tiles::patch_pixels * chunk];
        Number weights[Tiles::taps * chunk];  // [tap][channel]
    };
    static constexpr bool fit = Tiles::fit;

    const S* from;
    const Number *weights, *bias;
    S* to;

    static std::int64_t blocks(std::int64_t samples) { return samples * Tiles::tiles * Tiles::chunks; }

    template <class Block>
    BANTAM_HOST_DEVICE void operator()(const Block& block, Shared& shared) const {
        const std::int64_t tile = block.index() / Tiles::chunks;
        const int first_channel = static_cast<int>(block.index() - tile * Tiles::chunks) * chunk;
        const typename Tiles::Place place{tile};
        block.for_each_thread([&](int thread) {
            const Number* own = weights + first_channel * Tiles::taps;
            for (int i = thread; i < Tiles::taps * chunk; i += threads)
                if (first_channel + i / Tiles::taps < Tiles::channels)
                    shared.weights[i % Tiles::taps * chunk + i / Tiles::taps] = own[i];
            Tiles::load_patch(from, place, typename Tiles::Worker{first_channel, thread}, shared.patch);
        });
        block.for_each_thread([&](int thread) {
            const typename Tiles::Worker worker{first_channel, thread};
            if (!worker.inside) return;
            for (int run = worker.lane; run < Tiles::runs; run += Tiles::lanes) write_run(place, worker, run, shared);
        });
    }

private:
    BANTAM_HOST_DEVICE void write_run(const typename Tiles::Place& place, const typename Tiles::Worker& worker,
                                      int run, const Shared& shared) const {
        const int row = run / Tiles::across, begin = run % Tiles::across * Tiles::run;
        const int y = place.y + row, x = place.x + begin;
        if (y >= Tiles::to_height) return;
        Number sums[Tiles::run];
        const Number start = bias ? bias[worker.channel] : Number(0);
        BANTAM_CUDA_UNROLL
        for (int j = 0; j < Tiles::run; ++j) sums[j] = start;
        for (int ky = 0; ky < Tiles::kernel; ++ky) {
            if (!Taps::reaches(row, ky)) continue;
            const Number* line =
                shared.patch + (Taps::position(row, ky) * Tiles::patch_width + Taps::shift(begin)) * chunk + worker.c;
            BANTAM_CUDA_UNROLL
            for (int kx = 0; kx < Tiles::kernel; ++kx) {
                const Number weight = shared.weights[(ky * Tiles::kernel + kx) * chunk + worker.c];
                BANTAM_CUDA_UNROLL
                for (int j = 0; j < Tiles::run; ++j)
                    if (Taps::reaches(j, kx)) sums[j] += line[Taps::position(j, kx) * chunk] * weight;
            }
        }
        S* first =
            to + place.sample * Tiles::to_elements + (y * Tiles::to_width + x) * Tiles::channels + worker.channel;
        BANTAM_CUDA_UNROLL
        for (int j = 0; j < Tiles::run; ++j)
            if (x + j < Tiles::to_width) first[j * Tiles::channels] = S(sums[j]);
    }
};

/// partials[part][channel][tap] = what the part's tiles add to the weight's gradient. The output's gradient is
/// read once for all taps.
template <class Taps, Shape Input, Shape Output, class S>
struct DepthwiseWeightGradient {
    using Tiles = DepthwiseTiles<Taps, Input, Output, S>;
    using Number = Arithmetic<S>;
    static constexpr int threads = Tiles::threads;
    static constexpr int chunk = Tiles::chunk;
    static constexpr int kernel = Tiles::kernel;
    static constexpr int taps = Tiles::taps;
    struct Shared {
        Number patch[Tiles::patch_pixels * chunk];
        double totals[kernel * threads];
    };
    /// A total a tap has to stay in a thread's registers.
    static constexpr bool fit = Tiles::fit && taps <= 49 && sizeof(Shared) <= max_shared_bytes;

    const S *input, *output_gradient;
    std::int64_t tiles, tiles_a_part;
    double* partials;

    static DepthwiseWeightGradient of(std::int64_t samples, const S* input, const S* output_gradient,
                                      double* partials) {
        const std::int64_t tiles = samples * Tiles::tiles;
        return {input, output_gradient, tiles, std::max<std::int64_t>(1, piece_count(tiles, max_parts)), partials};
    }
    std::int64_t parts() const { return piece_count(tiles, tiles_a_part); }
    std::int64_t blocks() const { return parts() * Tiles::chunks; }

    template <class Block>
    BANTAM_HOST_DEVICE void operator()(const Block& block, Shared& shared) const {
        const std::int64_t part = block.index() / Tiles::chunks;
        const int first_channel = static_cast<int>(block.index() - part * Tiles::chunks) * chunk;
        const std::int64_t begin = part * tiles_a_part;
        const std::int64_t end = begin + tiles_a_part < tiles ? begin + tiles_a_part : tiles;
        auto own = block.template own<Values<double, taps>>();
        for (std::int64_t tile = begin; tile < end; ++tile) {
            const typename Tiles::Place place{tile};
            block.for_each_thread([&](int thread) {
                Tiles::load_patch(input, place, typename Tiles::Worker{first_channel, thread}, shared.patch);
            });
            block.for_each_thread([&](int thread) {
                const typename Tiles::Worker worker{first_channel, thread};
                if (!worker.inside) return;
                for (int run = worker.lane; run < Tiles::runs; run += Tiles::lanes)
                    add_run(place, worker, run, shared.patch, own[thread].values);
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
                const typename Tiles::Worker worker{first_channel, thread};
                if (!worker.inside || worker.lane > 0) return;
                double* to = partials + (part * Tiles::channels + worker.channel) * taps + ky * kernel;
                BANTAM_CUDA_UNROLL
                for (int kx = 0; kx < kernel; ++kx) to[kx] = shared.totals[kx * threads + thread];
            });
        }
    }

private:
    BANTAM_HOST_DEVICE void add_run(const typename Tiles::Place& place, const typename Tiles::Worker& worker, int run,
                                    const Number* patch, double* totals) const {
        const int row = run / Tiles::across, begin = run % Tiles::across * Tiles::run;
        const int y = place.y + row, x = place.x + begin;
        if (y >= Tiles::to_height) return;
        const S* first =
            output_gradient + place.sample * Tiles::to_elements + (y * Tiles::to_width + x) * Tiles::channels +
            worker.channel;
        Number gradient[Tiles::run];
        BANTAM_CUDA_UNROLL
        for (int j = 0; j < Tiles::run; ++j)
            gradient[j] = x + j < Tiles::to_width ? Number(first[j * Tiles::channels]) : Number(0);
        BANTAM_CUDA_UNROLL
        for (int ky = 0; ky < kernel; ++ky) {
            const Number* line =
                patch + (Taps::position(row, ky) * Tiles::patch_width + Taps::shift(begin)) * chunk + worker.c;
            BANTAM_CUDA_UNROLL
            for (int kx = 0; kx < kernel; ++kx) {
                // Short sums may be in float: they lose next to nothing before they join a double.
                Number sum{};
                BANTAM_CUDA_UNROLL
                for (int j = 0; j < Tiles::run; ++j) sum += gradient[j] * line[Taps::position(j, kx) * chunk];
                totals[ky * kernel + kx] += static_cast<double>(sum);
            }
        }
    }
};

}  // namespace bantam::cuda
