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

/// How a window moves along a line of blocks of `block_channels`.
struct WindowStep {
    int kernel_width;
    int stride;
    int dilation;
    int padding;
    int block_channels;

    /// Bytes from a pixel whose number is a multiple of 4 to the one `x` behind it.
    constexpr int pixel_offset(int x) const {
        const int quad = (x < 0 ? x - 3 : x) / 4;
        return quad * 4 * block_channels + (x - 4 * quad) * 4;
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
template <WindowStep Step, int Vectors, int Quads, class Out, Words words>
[[gnu::always_inline]] inline void convolve_tile(const DenseLine& line, int quad, const std::int8_t* weights,
                                                 const std::int32_t* biases, ChannelScales channels) {
    constexpr int pixels = 4 * Quads;
    Lanes sums[std::size_t{Vectors}][std::size_t{pixels}];
    unroll<Vectors>([&](auto v) __attribute__((always_inline)) {
        const Lanes bias = load(biases + v * lanes);
        unroll<pixels>([&](auto pixel) __attribute__((always_inline)) { sums[v][pixel] = bias; });
    });
    const int begin = quad * Step.stride * 4 * Step.block_channels;
    for (int ky = 0; ky < line.kernel_height; ++ky) {
        const std::uint8_t* block = line.lines[ky] + begin;
        for (int left = line.input_words; left > 0; left -= Step.block_channels / 4, block += line.input_block_bytes) {
            const int count = left < Step.block_channels / 4 ? left : Step.block_channels / 4;
            const std::uint8_t* word = block;
            for (int i = 0; i < count; ++i, word += 16) {
                unroll<Step.kernel_width>([&](auto kx) __attribute__((always_inline)) {
                    Lanes rows[std::size_t{Vectors}];
                    unroll<Vectors>([&](auto v) __attribute__((always_inline)) {
                        rows[v] = load(weights + (kx * Vectors + v) * 4 * lanes);
                    });
                    unroll<pixels>([&](auto pixel) __attribute__((always_inline)) {
                        constexpr int x = pixel * Step.stride + kx * Step.dilation - Step.padding;
                        const Lanes input = repeat(word + Step.pixel_offset(x));
                        unroll<Vectors>([&](auto v) __attribute__((always_inline)) {
                            sums[v][pixel] = dot(sums[v][pixel], input, rows[v]);
                        });
                    });
                });
                weights += Step.kernel_width * Vectors * 4 * lanes;
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
template <WindowStep Step, int Vectors, class Out, Words words>
[[gnu::noinline]] void convolve_line(const DenseLine& line, const std::int8_t* weights, const std::int32_t* biases,
                                     ChannelScales channels) {
    int quad = 0;
    for (; quad + tile_quads <= line.output_quads; quad += tile_quads)
        convolve_tile<Step, Vectors, tile_quads, Out, words>(line, quad, weights, biases, channels);
    if constexpr (tile_quads > 1)
        for (; quad < line.output_quads; ++quad)
            convolve_tile<Step, Vectors, 1, Out, words>(line, quad, weights, biases, channels);
}

}  // namespace bantam::deploy::host
