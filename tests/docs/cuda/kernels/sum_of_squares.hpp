// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/bfloat16.hpp>
#include <bantam/cuda/runtime/thread_block.hpp>

/// output[sample] = Σ x², over the `Elements` elements x of the sample. A block computes one sample.
template <bantam::Index Elements, class S>
struct SumOfSquares {
    using Sum = bantam::Compute<S>;
    static constexpr int threads = 128;
    struct Shared {
        Sum sums[threads];
    };

    const S* input;
    Sum* output;

    template <class Block>
    BANTAM_HOST_DEVICE void operator()(const Block& block, Shared& shared) const {
        // Phase 1: neighboring threads read neighboring elements.
        block.for_each_thread([&](int thread) {
            Sum sum = 0;
            for (bantam::Index i = thread; i < Elements; i += threads) {
                const Sum x = input[block.index() * Elements + i];
                sum += x * x;
            }
            shared.sums[thread] = sum;
        });
        // One phase per halving: the order of additions is fixed, so the result always has the same bits.
        for (int half = threads / 2; half > 0; half /= 2)
            block.for_each_thread([&](int thread) {
                if (thread < half) shared.sums[thread] += shared.sums[thread + half];
            });
        block.for_each_thread([&](int thread) {
            if (thread == 0) output[block.index()] = shared.sums[0];
        });
    }
};
