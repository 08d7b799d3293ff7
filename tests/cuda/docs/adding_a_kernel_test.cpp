// SPDX-License-Identifier: MIT
// The block kernel that docs/adding-a-kernel.md shows gives what a loop gives, in any order of its threads.
#define BOOST_TEST_MODULE cuda_docs_adding_a_kernel
#include "cuda/kernels/kernel_helpers.hpp"

#include "docs/cuda/kernels/sum_of_squares.hpp"

#include <cstdint>
#include <vector>

namespace {

constexpr bantam::Index samples = 3, elements = 1000;

std::vector<float> sums_of_squares(const std::vector<float>& input) {
    const bantam::cuda::Execution execution;
    const auto values = on_device(execution, input);
    auto sums = unset<float>(execution, samples);
    bantam::cuda::run_blocks(execution, samples, SumOfSquares<elements, float>{values.data(), sums.data()});
    return on_host(execution, sums);
}

}  // namespace

BOOST_AUTO_TEST_CASE(the_kernel_gives_what_a_loop_gives) {
    const std::vector<float> input = numbers<float>(samples * elements, 1);
    const std::vector<float> found = sums_of_squares(input);
    for (std::size_t sample = 0; sample < samples; ++sample) {
        double expected = 0;
        for (std::size_t i = sample * elements; i < (sample + 1) * elements; ++i)
            expected += static_cast<double>(input[i]) * static_cast<double>(input[i]);
        BOOST_TEST(found[sample] == static_cast<float>(expected), boost::test_tools::tolerance(1e-6F));
    }
}

#ifndef __CUDACC__
BOOST_AUTO_TEST_CASE(the_order_of_the_threads_changes_no_bit) {
    const std::vector<float> input = numbers<float>(samples * elements, 1);
    std::vector<float> sums(samples);
    run_backwards(samples, SumOfSquares<elements, float>{input.data(), sums.data()});
    BOOST_TEST(sums == sums_of_squares(input), boost::test_tools::per_element());
}
#endif
