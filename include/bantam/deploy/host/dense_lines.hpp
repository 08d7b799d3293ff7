// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/deploy/host/lanes.hpp>
#include <bantam/deploy/host/map_layout.hpp>
#include <bantam/deploy/stages/product.hpp>

#include <cstddef>
#include <cstdint>

namespace bantam::deploy::host {

/// Registers for the sums of a tile: vectors of output channels, and quads of pixels.
#if defined(__AVX512VNNI__) || defined(__ARM_NEON)
inline constexpr int tile_vectors = 3;
inline constexpr int tile_quads = 2;
#else
inline constexpr int tile_vectors = 2;
inline constexpr int tile_quads = 1;
#endif

/// The window of a convolution over blocks of `block_channels`.
struct DenseWindow {
    WindowStep step;
    int block_channels;

    /// Bytes from a pixel whose number is a multiple of 4 to the one that column `kx` reads for output pixel `x`.
    constexpr int offset(int x, int kx) const {
        const int pixel = step.pixel(x, kx);
        const int quad = quad_of(pixel);
        return quad * 4 * block_channels + (pixel - 4 * quad) * 4;
    }
};

/// A convolution's input lines, and how its output lines are written.
struct DenseLine {
    const std::uint8_t* const* lines;  ///< one per row of the kernel, at their first quad
    int kernel_height;
    int input_words;  ///< of four channels
    int input_block_bytes;
    std::uint8_t* out;  ///< at the first quad of the first block of outputs
    int output_block_bytes;
    int output_quads;
};

/// `Quads` quads of pixels of `Vectors` vectors of outputs. Weights lie as [row][word][column][vector].
template <DenseWindow Window, int Vectors, int Quads, class Out, Words words>
[[gnu::always_inline]] inline void convolve_tile(const DenseLine& line, int quad, const std::int8_t* weights,
                                                 const std::int32_t* biases, ChannelScales channels) {
    constexpr int pixels = 4 * Quads;
    Lanes sums[std::size_t{Vectors}][std::size_t{pixels}];
    unroll<Vectors>([&](auto v) __attribute__((always_inline)) {
        const Lanes bias = load(biases + v * lanes);
        unroll<pixels>([&](auto pixel) __attribute__((always_inline)) { sums[v][pixel] = bias; });
    });
    const int begin = quad * Window.step.stride * 4 * Window.block_channels;
    for (int ky = 0; ky < line.kernel_height; ++ky) {
        const std::uint8_t* block = line.lines[ky] + begin;
        for (int left = line.input_words; left > 0;
             left -= Window.block_channels / 4, block += line.input_block_bytes) {
            const int count = left < Window.block_channels / 4 ? left : Window.block_channels / 4;
            const std::uint8_t* word = block;
            for (int i = 0; i < count; ++i, word += 16) {
                unroll<Window.step.kernel_width>([&](auto kx) __attribute__((always_inline)) {
                    Lanes rows[std::size_t{Vectors}];
                    unroll<Vectors>([&](auto v) __attribute__((always_inline)) {
                        rows[v] = load(weights + (kx * Vectors + v) * 4 * lanes);
                    });
                    unroll<pixels>([&](auto pixel) __attribute__((always_inline)) {
                        const Lanes input = repeat(word + Window.offset(pixel, kx));
                        unroll<Vectors>([&](auto v) __attribute__((always_inline)) {
                            sums[v][pixel] = dot(sums[v][pixel], input, rows[v]);
                        });
                    });
                });
                weights += Window.step.kernel_width * Vectors * 4 * lanes;
            }
        }
    }
    unroll<Vectors>([&](auto v) __attribute__((always_inline)) {
        unroll<Quads>([&](auto q) __attribute__((always_inline)) {
            const Lanes quad_sums[4] = {sums[v][4 * q], sums[v][4 * q + 1], sums[v][4 * q + 2], sums[v][4 * q + 3]};
            store_quad<Out, words>(quad_sums, channels.at(v * lanes),
                                   line.out + v * line.output_block_bytes + (quad + q) * 4 * lanes);
        });
    });
}

/// One line of `Vectors` vectors of outputs.
template <DenseWindow Window, int Vectors, class Out, Words words>
[[gnu::noinline]] void convolve_line(const DenseLine& line, const std::int8_t* weights, const std::int32_t* biases,
                                     ChannelScales channels) {
    int quad = 0;
    for (; quad + tile_quads <= line.output_quads; quad += tile_quads)
        convolve_tile<Window, Vectors, tile_quads, Out, words>(line, quad, weights, biases, channels);
    if constexpr (tile_quads > 1)
        for (; quad < line.output_quads; ++quad)
            convolve_tile<Window, Vectors, 1, Out, words>(line, quad, weights, biases, channels);
}

}  // namespace bantam::deploy::host
