// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/bfloat16.hpp>
#include <bantam/base/division.hpp>
#include <bantam/base/host_device.hpp>
#include <bantam/base/index.hpp>
#include <bantam/core/shape.hpp>
#include <bantam/cuda/kernels/row_reduction.hpp>
#include <bantam/cuda/runtime/operation.hpp>
#include <bantam/cuda/runtime/thread_block.hpp>

#include <algorithm>
#include <limits>

namespace bantam::cuda {

// How depthwise convolutions are tiled. A thread block computes a tile of the map `To`, for a chunk of channels. It
// loads the patch of the map `From` that the tile depends on, the tile with its halo, into shared memory once. A thread
// then computes strips: adjacent pixels in a row of the tile, for one channel.

/// The taps of a forward convolution along one axis: which input a tile's output `i` reads with tap `k`.
template <class Axis>
struct ForwardAxisTaps {
    static constexpr int kernel = Axis::kernel_size;
    static constexpr int multiple = 1;  ///< a tile's sides are multiples of this

    /// Extent of the patch of a tile of `count`, with the halo.
    static constexpr Index extent(Index count) { return Axis::inputs_under(count); }
    /// Position in the map where the patch of a tile that begins at `begin` begins; negative in the padding.
    BANTAM_HOST_DEVICE static constexpr int first(int begin) { return Axis::first_input(begin); }
    /// Whether output `i` reads anything with tap `k`.
    BANTAM_HOST_DEVICE static constexpr bool reads(int, int) { return true; }
    /// Position in the patch that output `i` reads with tap `k`.
    BANTAM_HOST_DEVICE static constexpr int position(int i, int k) { return i * Axis::stride + k * Axis::dilation; }
    /// position(begin + i, k) − position(i, k), where `begin` is a multiple of `multiple`.
    BANTAM_HOST_DEVICE static constexpr int shift(int begin) { return begin * Axis::stride; }
};

/// The same for the input's gradient: which output's gradient input `i` receives through tap `k`.
template <class Axis>
struct BackwardAxisTaps {
    static constexpr int kernel = Axis::kernel_size;
    static constexpr int stride = Axis::stride;
    static constexpr int multiple = stride;

    /// Strides added to keep dividends from getting negative.
    static constexpr int lift = Axis::halo;
    /// The first output that a tile at 0 depends on.
    static constexpr int lowest = (Axis::padding + stride * lift - Axis::halo + stride - 1) / stride - lift;

    static constexpr Index extent(Index count) {
        return (count - 1 + Axis::padding + stride * lift) / stride - lift - lowest + 1;
    }
    BANTAM_HOST_DEVICE static constexpr int first(int begin) { return begin / stride + lowest; }
    BANTAM_HOST_DEVICE static constexpr int lifted(int i, int k) {
        return Axis::output_position_times_stride(i, k) + stride * lift;
    }
    /// False where the stride skips the input.
    BANTAM_HOST_DEVICE static constexpr bool reads(int i, int k) { return lifted(i, k) % stride == 0; }
    BANTAM_HOST_DEVICE static constexpr int position(int i, int k) { return lifted(i, k) / stride - lift - lowest; }
    BANTAM_HOST_DEVICE static constexpr int shift(int begin) { return begin / stride; }
};

/// The taps of both axes.
template <class Window>
struct ForwardTaps {
    using Rows = ForwardAxisTaps<typename Window::Rows>;
    using Columns = ForwardAxisTaps<typename Window::Columns>;
};
template <class Window>
struct BackwardTaps {
    using Rows = BackwardAxisTaps<typename Window::Rows>;
    using Columns = BackwardAxisTaps<typename Window::Columns>;
};

/// The tiles of the maps `To` of a batch, whose patches of `From` fit into shared memory as Compute<S>.
template <class Taps, Shape From, Shape To, class S>
struct DepthwiseTiles {
    using ComputeType = Compute<S>;
    static constexpr int threads = detail::block_threads;
    using Rows = typename Taps::Rows;
    using Columns = typename Taps::Columns;
    static constexpr int taps = Rows::kernel * Columns::kernel;
    static constexpr int channels = To.channels;
    static constexpr int chunk = even_split(To.channels, 32);  ///< channels of a thread block
    static constexpr int chunks = ceil_div(To.channels, chunk);
    static constexpr int thread_rows = threads / chunk;  ///< strips that a thread block computes at a time

    struct TileSize {
        Index height, strips_per_row, strip;
        constexpr Index width() const { return strips_per_row * strip; }
        constexpr Index patch_pixels() const { return Rows::extent(height) * Columns::extent(width()); }
        constexpr Index bytes() const {
            return (patch_pixels() + taps) * chunk * static_cast<Index>(sizeof(ComputeType));
        }
    };
    /// A tile of at least this size with as many strips as there are thread rows, if it is large enough.
    static constexpr TileSize tile_of(Index rows, Index columns) {
        const auto round_up = [](Index size, Index multiple) { return ceil_div(size, multiple) * multiple; };
        const Index tile_rows = round_up(rows, Rows::multiple);
        const Index strip_count = std::clamp<Index>(thread_rows / tile_rows, 1, ceil_div(columns, Columns::multiple));
        return {tile_rows, strip_count, round_up(ceil_div(columns, strip_count), Columns::multiple)};
    }
    /// Strips of eight and one row per thread row; smaller where a multiprocessor has memory for only a few thread
    /// blocks with such patches.
    static constexpr TileSize tile = [] {
        constexpr Index preferred_bytes = 32 << 10;
        Index rows = even_split(To.height, thread_rows);
        Index columns = even_split(To.width, 8 * std::max<Index>(1, thread_rows / rows));
        while (tile_of(rows, columns).bytes() > preferred_bytes && (rows > 1 || columns > 1))
            if (rows >= columns)
                rows = even_split(To.height, rows - 1);
            else
                columns = even_split(To.width, columns - 1);
        return tile_of(rows, columns);
    }();

    /// Whether tiles pay: the patch fits, and loading it is not more work than loading what each tap reads.
    static constexpr bool fit = tile.bytes() <= static_cast<Index>(max_shared_bytes) &&
                                tile.patch_pixels() <= taps * tile.height * tile.width() &&
                                std::max(element_count(From), element_count(To)) <= std::numeric_limits<int>::max();

    static constexpr int height = fit ? tile.height : 1, width = fit ? tile.width() : 1;
    static constexpr int strips_per_row = tile.strips_per_row, strip = tile.strip;
    static constexpr int strips = height * strips_per_row;
    static constexpr int patch_height = fit ? Rows::extent(height) : 1, patch_width = fit ? Columns::extent(width) : 1;
    static constexpr int patch_pixels = patch_height * patch_width;
    static constexpr int tiles_per_row = ceil_div(To.width, width);
    static constexpr int tiles = tiles_per_row * ceil_div(To.height, height);  ///< per map

    static constexpr int from_height = From.height, from_width = From.width;
    static constexpr int to_height = To.height, to_width = To.width;
    static constexpr Index from_pixels = pixel_count(From), to_pixels = pixel_count(To);

    /// The position of a tile's first pixel.
    struct TileOrigin {
        Index sample;
        int y, x;
        BANTAM_HOST_DEVICE explicit TileOrigin(Index tile_index) : sample{tile_index / tiles} {
            const int in_map = static_cast<int>(tile_index - sample * tiles);
            y = in_map / tiles_per_row * height;
            x = in_map % tiles_per_row * width;
        }
    };

    /// A thread's channel, in the chunk (`c`) and in the map, and its thread row.
    struct ThreadPosition {
        int c, channel, thread_row;
        bool inside;
        BANTAM_HOST_DEVICE ThreadPosition(int first_channel, int thread)
            : c{thread % chunk},
              channel{first_channel + c},
              thread_row{thread / chunk},
              inside{thread_row < thread_rows && channel < channels} {}
    };

    /// Loads a thread's share of the patch; zero outside the map.
    template <class Source>
    BANTAM_HOST_DEVICE static void load_patch(const Source& source, const TileOrigin& origin, const ThreadPosition& at,
                                              ComputeType* patch) {
        if (!at.inside) return;
        const auto column = source.template columns<1>(at.channel);
        const Index first = origin.sample * from_pixels;
        const int top = Rows::first(origin.y), left = Columns::first(origin.x);
        constexpr int unroll = 4;  // pixels that a thread loads before it stores them, to keep more loads in flight
        for (int pixel = at.thread_row; pixel < patch_pixels; pixel += unroll * thread_rows) {
            ComputeType values[unroll] = {};
            BANTAM_CUDA_UNROLL
            for (int j = 0; j < unroll; ++j) {
                const int in_patch = pixel + j * thread_rows;
                const int y = top + in_patch / patch_width, x = left + in_patch % patch_width;
                if (in_patch < patch_pixels && y >= 0 && y < from_height && x >= 0 && x < from_width)
                    column.load(first + y * from_width + x, values + j);
            }
            BANTAM_CUDA_UNROLL
            for (int j = 0; j < unroll; ++j)
                if (pixel + j * thread_rows < patch_pixels) patch[(pixel + j * thread_rows) * chunk + at.c] = values[j];
        }
    }

    /// Loads a chunk's weights, [channel][tap] in memory, as [tap][channel].
    BANTAM_HOST_DEVICE static void load_weights(const ComputeType* weights, int first_channel, int thread,
                                                ComputeType* to) {
        const ComputeType* of_chunk = weights + first_channel * taps;
        for (int i = thread; i < taps * chunk; i += threads)
            if (first_channel + i / taps < channels) to[i % taps * chunk + i / taps] = of_chunk[i];
    }

    /// Adjacent pixels in a row of a tile.
    struct Strip {
        int row, begin;  // in the tile
        int x;           // in the map
        Index first;     // the first pixel, counted over the samples
        bool inside;
        BANTAM_HOST_DEVICE Strip(const TileOrigin& origin, int index)
            : row{index / strips_per_row}, begin{index % strips_per_row * strip} {
            const int y = origin.y + row;
            x = origin.x + begin;
            first = origin.sample * to_pixels + y * to_width + x;
            inside = y < to_height;
        }
    };

    /// The line of the patch that row `ky` of a strip's taps reads.
    BANTAM_HOST_DEVICE static const ComputeType* line_of(const ComputeType* patch, const Strip& of, int ky,
                                                         const ThreadPosition& at) {
        return patch + (Rows::position(of.row, ky) * patch_width + Columns::shift(of.begin)) * chunk + at.c;
    }
};

/// The tiles of a batch in slices: one tile each, or, where sums are kept per slice, at most `max_slices` slices.
template <class Tiles>
struct TileSlices {
    BatchSlices slices;

    template <class S>
    static TileSlices of(const Pass<S>& pass, bool summed) {
        return {summed ? BatchSlices::of(pass.part(), Tiles::tiles)
                       : BatchSlices::of_rows(pass.count * Tiles::tiles, 1)};
    }
    Index count() const { return slices.count(); }
    Index blocks() const { return count() * Tiles::chunks; }

    /// The tiles [begin, end) and the chunk of a thread block.
    struct BlockTiles {
        Index slice, begin, end;
        int first_channel;
    };
    BANTAM_HOST_DEVICE BlockTiles tiles_of(Index block) const {
        const Index slice = block / Tiles::chunks;
        const IndexRange tiles = slices[slice];
        return {slice, tiles.begin, tiles.end, static_cast<int>(block - slice * Tiles::chunks) * Tiles::chunk};
    }
};

namespace detail {

/// Adds up the epilogue's sums of a block's threads and stores them: to[slice][sum][channel].
template <class Tiles, int Sums, class Block, class ThreadSums>
BANTAM_HOST_DEVICE void store_depthwise_sums(const Block& block, const typename TileSlices<Tiles>::BlockTiles& tiles,
                                             ThreadSums& thread_sums, double* totals, double* to) {
    if constexpr (Sums > 0) {
        block.for_each_thread([&](int thread) {
            BANTAM_CUDA_UNROLL
            for (int v = 0; v < Sums; ++v) totals[v * Tiles::threads + thread] = thread_sums[thread].values[v];
        });
        reduce_thread_rows<Sums>(block, Tiles::chunk, Tiles::thread_rows, totals);
        block.for_each_thread([&](int thread) {
            const typename Tiles::ThreadPosition at{tiles.first_channel, thread};
            if (!at.inside || at.thread_row > 0) return;
            BANTAM_CUDA_UNROLL
            for (int v = 0; v < Sums; ++v)
                to[(tiles.slice * Sums + v) * Tiles::channels + at.channel] = totals[v * Tiles::threads + thread];
        });
    }
}

}  // namespace detail

}  // namespace bantam::cuda
