// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/deploy/host/lanes.hpp>
#include <bantam/deploy/stages/product.hpp>

#include <cstdint>

namespace bantam::deploy::host {

/// Vectors of weights per block of a depthwise 3×3 convolution: for each row (w0, w1, w2, 0), then (0, w0, w1, w2).
inline constexpr int depthwise_vectors = 6;

/// One line of a depthwise 3×3 convolution with a padding of 1, a block of channels after the other. Input words are
/// four pixels of a channel; two of them, shifted, give all windows. `lines` and `out` are at their first quad.
template <int Stride, class Out, Words words>
[[gnu::noinline]] void convolve_depthwise_line(const std::uint8_t* const* lines, int blocks, int input_block_bytes,
                                               const std::int8_t* weights, const std::int32_t* biases,
                                               ChannelScales channels, std::uint8_t* out, int output_block_bytes,
                                               int output_quads) {
    static_assert(Stride == 1 || Stride == 2);
    constexpr int bytes = 4 * lanes;
    for (int block = 0; block < blocks; ++block) {
        Lanes taps[depthwise_vectors];
        unroll<depthwise_vectors>([&](auto i) __attribute__((always_inline)) { taps[i] = load(weights + i * bytes); });
        const Lanes bias = load(biases + block * lanes);
        const std::uint8_t* rows[3] = {lines[0] + block * input_block_bytes, lines[1] + block * input_block_bytes,
                                       lines[2] + block * input_block_bytes};
        std::uint8_t* to = out + block * output_block_bytes;
        for (int quad = 0; quad < output_quads; ++quad, to += bytes) {
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
        weights += depthwise_vectors * bytes;
    }
}

}  // namespace bantam::deploy::host
