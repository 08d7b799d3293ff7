// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/deploy/precision.hpp>

#include <cstdint>

namespace bantam::deploy {

/// Where output `output` of `outputs` finds its weight `k` of a product of `length`: blocks of outputs, in each of
/// them groups of `length_multiple` neighboring k, in each of them the block's outputs.
template <class P>
constexpr int product_weight_index(int output, int k, int outputs, int length) {
    const int block = output / P::output_block;
    const int begin = block * P::output_block;
    const int width = outputs - begin < P::output_block ? outputs - begin : P::output_block;
    constexpr int group = P::length_multiple;
    return begin * length + (k / group) * group * width + (output - begin) * group + k % group;
}

/// sums[pixel][output] = Σ inputs[pixel][k] · weights[k, output] for `Outputs` outputs of one block. Not inlined:
/// one copy serves every stage.
template <class P, int Pixels, int Outputs, class In>
[[gnu::noinline]] void multiply_block(const In* const* inputs, const typename P::Weight* weights, int length,
                                      typename P::Sum (&sums)[Pixels][Outputs]) {
    using Sum = typename P::Sum;
    constexpr int group = P::length_multiple;
    Sum totals[Pixels][Outputs] = {};
    const In* in[Pixels];
    for (int pixel = 0; pixel < Pixels; ++pixel) in[pixel] = inputs[pixel];
    for (int k = 0; k < length; k += group, weights += group * Outputs)
        for (int pixel = 0; pixel < Pixels; ++pixel)
            for (int output = 0; output < Outputs; ++output)
                for (int i = 0; i < group; ++i)
                    totals[pixel][output] +=
                        static_cast<Sum>(in[pixel][k + i]) * static_cast<Sum>(weights[output * group + i]);
    for (int pixel = 0; pixel < Pixels; ++pixel)
        for (int output = 0; output < Outputs; ++output) sums[pixel][output] = totals[pixel][output];
}

/// Products of `Pixels` inputs of `length` with `Count` outputs' weights; calls `store(pixel, output, sum)`.
template <class P, int Pixels, int Count, class In, class Store>
void multiply(const In* const* inputs, const typename P::Weight* weights, int length, Store&& store) {
    constexpr int block = P::output_block;
    for (int output = 0; output < Count / block * block; output += block, weights += block * length) {
        typename P::Sum sums[Pixels][block];
        multiply_block<P, Pixels, block>(inputs, weights, length, sums);
        for (int pixel = 0; pixel < Pixels; ++pixel)
            for (int i = 0; i < block; ++i) store(pixel, output + i, sums[pixel][i]);
    }
    if constexpr (constexpr int rest = Count % block; rest != 0) {
        typename P::Sum sums[Pixels][rest];
        multiply_block<P, Pixels, rest>(inputs, weights, length, sums);
        for (int pixel = 0; pixel < Pixels; ++pixel)
            for (int i = 0; i < rest; ++i) store(pixel, Count - rest + i, sums[pixel][i]);
    }
}

}  // namespace bantam::deploy
