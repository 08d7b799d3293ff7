// SPDX-License-Identifier: MIT
#define BOOST_TEST_MODULE cuda_runtime_thread_block
#include "cuda/kernels/kernel_helpers.hpp"

#include <cstddef>
#include <vector>

namespace {

/// to[block][thread] = the block's index plus that of the opposite thread.
struct Opposite {
    static constexpr int threads = 96;
    struct Shared {
        double values[threads];
    };
    double* to;
    template <class Block>
    BANTAM_HOST_DEVICE void operator()(const Block& block, Shared& shared) const {
        auto sums = block.template per_thread<double>();
        block.for_each_thread([&](int thread) {
            sums[thread] += static_cast<double>(block.index());
            shared.values[thread] = thread;
        });
        block.for_each_thread([&](int thread) { sums[thread] += shared.values[threads - 1 - thread]; });
        block.for_each_thread([&](int thread) { to[block.index() * threads + thread] = sums[thread]; });
    }
};

constexpr std::size_t blocks = 5;

std::vector<double> expected() {
    std::vector<double> values;
    for (std::size_t block = 0; block < blocks; ++block)
        for (std::size_t thread = 0; thread < Opposite::threads; ++thread)
            values.push_back(static_cast<double>(block + Opposite::threads - 1 - thread));
    return values;
}

}  // namespace

BOOST_AUTO_TEST_CASE(phases_run_one_after_another_and_per_thread_values_persist) {
    const bantam::cuda::Execution execution;
    auto result = unset<double>(execution, blocks * Opposite::threads);
    bantam::cuda::run_blocks(execution, blocks, Opposite{result.data()});
    BOOST_TEST(on_host(execution, result) == expected());
}

#ifndef __CUDACC__
BOOST_AUTO_TEST_CASE(run_backwards_gives_the_same) {
    std::vector<double> result(blocks * Opposite::threads);
    run_backwards(blocks, Opposite{result.data()});
    BOOST_TEST(result == expected());
}
#endif
