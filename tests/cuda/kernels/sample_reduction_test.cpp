// SPDX-License-Identifier: MIT
#define BOOST_TEST_MODULE cuda_kernels_sample_reduction
#include "kernel_helpers.hpp"
#include "reference_kernels.hpp"

#include <bantam/core/shape.hpp>
#include <bantam/cuda/kernels/sample_reduction.hpp>

#include <cstdint>
#include <vector>

using namespace bantam;
using bantam::cuda::Execution;

namespace {

/// Compares sums over the pixels of samples, of elements and of products.
template <Shape Map, class S>
void sample_sums_agree(std::int64_t count) {
    using Element = bantam::cuda::detail::MapElement<Map.channels, S>;
    using Product = bantam::cuda::detail::MapProduct<Map.channels, S>;
    const Execution execution;
    bantam::cuda::Pass<S> pass;
    pass.count = count;
    pass.execution = &execution;
    const auto a = on_device(execution, numbers<S>(count * element_count(Map), 1));
    const auto b = on_device(execution, numbers<S>(count * element_count(Map), 2));
    const auto sums_agree = [&]<class Term>(const Term& term) {
        auto output = unset<S>(execution, count * Map.channels), again = unset<S>(execution, count * Map.channels);
        auto expected = unset<S>(execution, count * Map.channels);
        bantam::cuda::sum_samples<Map>(pass, term, S(0.75), output.data());
        bantam::cuda::sum_samples<Map>(pass, term, S(0.75), again.data());
        reference::sum_samples<Map>(pass, term, S(0.75), expected.data());
        const std::vector<S> found = on_host(execution, output);
        BOOST_TEST(largest_difference(found, on_host(execution, expected)) <= tolerance<S>);
        BOOST_TEST((found == on_host(execution, again)), "a second run gives other bits");
#ifndef __CUDACC__
        using Kernel = bantam::cuda::detail::SampleReduction<Map, Term, S>;
        run_backwards(Kernel::blocks(count), Kernel{term, S(0.75), expected.data()});
        BOOST_TEST((found == on_host(execution, expected)), "the order of threads changes bits");
#endif
    };
    sums_agree(Element{a.data()});
    sums_agree(Product{a.data(), b.data()});
}
template <int Height, int Width, int Channels>
void sample_sums_agree() {
    for (const std::int64_t count : test_sizes({1, 5}, {2}))
        BOOST_TEST_CONTEXT(count << 'x' << Height << 'x' << Width << 'x' << Channels) {
            sample_sums_agree<Shape{Height, Width, Channels}, double>(count);
            sample_sums_agree<Shape{Height, Width, Channels}, float>(count);
        }
}

}  // namespace

BOOST_AUTO_TEST_CASE(sums_over_samples_equal_the_reference) {
    sample_sums_agree<1, 1, 1>();
    sample_sums_agree<1, 1, 80>();
    sample_sums_agree<3, 5, 3>();
    sample_sums_agree<16, 16, 80>();
    sample_sums_agree<7, 7, 512>();
    sample_sums_agree<4, 4, 176>();
    sample_sums_agree<13, 11, 33>();
    sample_sums_agree<64, 63, 24>();
    sample_sums_agree<50, 81, 2>();
    sample_sums_agree<Shape{150, 141, 2}, double>(1);
    sample_sums_agree<5, 3, 2049>();
}
