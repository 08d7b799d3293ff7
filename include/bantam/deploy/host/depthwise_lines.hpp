// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/deploy/host/dense_lines.hpp>
#include <bantam/deploy/host/lanes.hpp>
#include <bantam/deploy/host/map_layout.hpp>
#include <bantam/deploy/stages/product.hpp>

#include <cstddef>
#include <cstdint>

namespace bantam::deploy::host {

/// A depthwise convolution's input lines, whose words are four pixels of a channel, and how its output line is written.
struct DepthwiseLine {
    const std::uint8_t* const* lines;  ///< one per row of the kernel, at their first quad
    int kernel_height;
    int blocks;  ///< of channels
    int input_block_bytes;
    std::uint8_t* out;  ///< at the first quad
    int output_block_bytes;
    int output_quads;
};

// A kernel has `row_vectors` vectors of weights per row and block of channels. Byte `byte` of the words of vector
// `vector` holds column `column(vector, byte)` of the window, or zero where that is none of its columns.

/// Columns 0 to 2 with a padding of 1: (w0, w1, w2, 0), then (0, w0, w1, w2). Two input words, shifted, give all
/// windows: four products per row for four pixels.
template <int Stride>
struct ShiftedColumns {
    static_assert(Stride == 1 || Stride == 2);
    static constexpr int row_vectors = 2;
    static constexpr int column(int vector, int byte) { return byte - vector; }

    template <class Out, Words words>
    [[gnu::noinline]] static void convolve(const DepthwiseLine& line, const std::int8_t* weights,
                                           const std::int32_t* biases, ChannelScales channels) {
        constexpr int bytes = 4 * lanes;
        for (int block = 0; block < line.blocks; ++block) {
            Lanes taps[6];
            unroll<6>([&](auto i) __attribute__((always_inline)) { taps[i] = load(weights + i * bytes); });
            const Lanes bias = load(biases + block * lanes);
            const int begin = block * line.input_block_bytes;
            const std::uint8_t* rows[3] = {line.lines[0] + begin, line.lines[1] + begin, line.lines[2] + begin};
            std::uint8_t* to = line.out + block * line.output_block_bytes;
            for (int quad = 0; quad < line.output_quads; ++quad, to += bytes) {
                Lanes sums[4] = {bias, bias, bias, bias};
                unroll<3>([&](auto ky) __attribute__((always_inline)) {
                    const Lanes first = load(rows[ky]);
                    const Lanes before = load(rows[ky] - bytes);
                    const Lanes behind = load(rows[ky] + bytes);
                    rows[ky] += Stride * bytes;
                    const Lanes left = taps[2 * ky], right = taps[2 * ky + 1];
                    sums[0] = dot(sums[0], shift_in_before(before, first), left);
                    if constexpr (Stride == 1) {
                        sums[1] = dot(sums[1], first, left);
                        sums[2] = dot(sums[2], first, right);
                        sums[3] = dot(sums[3], shift_in_behind(first, behind), right);
                    } else {
                        sums[1] = dot(sums[1], first, right);
                        sums[2] = dot(sums[2], shift_in_before(first, behind), left);
                        sums[3] = dot(sums[3], behind, right);
                    }
                });
                store_quad<Out, words>(sums, channels.at(block * lanes), to);
            }
            weights += 6 * bytes;
        }
    }
};

/// Columns of every window: a vector per pixel of a quad and input word that its window covers, with zeros in the
/// bytes outside the window.
template <WindowStep Step>
struct PlacedColumns {
    static constexpr int first_quad(int pixel) { return quad_of(Step.pixel(pixel, 0)); }
    /// The first vector of a pixel.
    static constexpr int begin(int pixel) {
        int vectors = 0;
        for (int p = 0; p < pixel; ++p) vectors += quad_of(Step.pixel(p, Step.kernel_width - 1)) - first_quad(p) + 1;
        return vectors;
    }
    static constexpr int row_vectors = begin(4);
    static constexpr int column(int vector, int byte) {
        int pixel = 0;
        while (begin(pixel + 1) <= vector) ++pixel;
        const int from_first = 4 * (first_quad(pixel) + vector - begin(pixel)) + byte - Step.pixel(pixel, 0);
        return from_first % Step.dilation == 0 ? from_first / Step.dilation : -1;
    }

    template <class Out, Words words>
    [[gnu::noinline]] static void convolve(const DepthwiseLine& line, const std::int8_t* weights,
                                           const std::int32_t* biases, ChannelScales channels) {
        for (int block = 0; block < line.blocks; ++block) {
            int quad = 0;
            for (; quad + tile_quads <= line.output_quads; quad += tile_quads)
                tile<tile_quads, Out, words>(line, block, quad, weights, biases, channels);
            if constexpr (tile_quads > 1)
                for (; quad < line.output_quads; ++quad)
                    tile<1, Out, words>(line, block, quad, weights, biases, channels);
            weights += line.kernel_height * row_vectors * 4 * lanes;
        }
    }

private:
    template <int Quads, class Out, Words words>
    [[gnu::always_inline]] static void tile(const DepthwiseLine& line, int block, int quad, const std::int8_t* weights,
                                            const std::int32_t* biases, ChannelScales channels) {
        constexpr int bytes = 4 * lanes;
        Lanes sums[std::size_t{Quads}][4];
        const Lanes bias = load(biases + block * lanes);
        unroll<Quads>([&](auto q) __attribute__((always_inline)) {
            unroll<4>([&](auto pixel) __attribute__((always_inline)) { sums[q][pixel] = bias; });
        });
        const int at = block * line.input_block_bytes + quad * Step.stride * bytes;
        for (int ky = 0; ky < line.kernel_height; ++ky) {
            const std::uint8_t* row = line.lines[ky] + at;
            unroll<4>([&](auto pixel) __attribute__((always_inline)) {
                unroll<begin(pixel + 1) - begin(pixel)>([&](auto word) __attribute__((always_inline)) {
                    const Lanes taps = load_once(weights + (begin(pixel) + word) * bytes);
                    unroll<Quads>([&](auto q) __attribute__((always_inline)) {
                        constexpr int input = first_quad(pixel) + word + q * Step.stride;
                        sums[q][pixel] = dot(sums[q][pixel], load(row + input * bytes), taps);
                    });
                });
            });
            weights += row_vectors * bytes;
        }
        unroll<Quads>([&](auto q) __attribute__((always_inline)) {
            store_quad<Out, words>(sums[q], channels.at(block * lanes),
                                   line.out + block * line.output_block_bytes + (quad + q) * bytes);
        });
    }
};

}  // namespace bantam::deploy::host
