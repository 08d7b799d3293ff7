// SPDX-License-Identifier: MIT
#define BOOST_TEST_MODULE cuda_kernels_row_reduction
#include "kernel_helpers.hpp"
#include "reference_kernels.hpp"

#include <bantam/cuda/kernels/row_reduction.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

using namespace bantam;
using bantam::cuda::Execution;
using bantam::cuda::max_slices;

namespace {

template <class S>
struct Element {
    const S* values;
    std::int64_t size;
    BANTAM_HOST_DEVICE S operator()(std::int64_t row, std::int64_t index) const { return values[row * size + index]; }
};
template <class S>
struct ElementAndProduct {
    const S *values, *factors;
    std::int64_t size;
    BANTAM_HOST_DEVICE bantam::cuda::Values<S, 2> operator()(std::int64_t row, std::int64_t index) const {
        const S value = values[row * size + index];
        return {{value, value * factors[index]}};
    }
};

template <class Total, class Result, class Term>
void sums_equal_the_reference(const Execution& execution, std::int64_t rows, std::int64_t size, std::int64_t values,
                              const Term& term, double allowed) {
    const auto sums = [&] {
        auto partials = unset<Total>(execution, max_slices * values * size);
        auto result = unset<Result>(execution, values * size);
        bantam::cuda::sum_over_rows(execution, rows, size, term, partials.data(), result.data());
        return on_host(execution, result);
    };
    auto expected = unset<Result>(execution, values * size);
    reference::sum_over_rows(execution, rows, size, term, expected.data());
    const std::vector<Result> found = sums();
    BOOST_TEST(largest_difference(found, on_host(execution, expected)) <= allowed, rows << " rows of " << size);
    BOOST_TEST((found == sums()), "a second run gives other bits");
}

template <class S>
void sums_equal_the_reference() {
    const Execution execution;
    for (const std::int64_t size : test_sizes({1, 2, 3, 8, 24, 31, 32, 33, 70, 257, 2048}, {3, 33}))
        for (const std::int64_t rows : test_sizes({1, 2, 7, 63, 64, 65, 500, 2049, 5003}, {7, 5003})) {
            if (rows * size > 2'000'000) continue;
            const auto values = on_device(execution, numbers<S>(rows * size, 1));
            const auto factors = on_device(execution, numbers<S>(size, 2));
            const Element<S> element{values.data(), size};
            const ElementAndProduct<S> two{values.data(), factors.data(), size};
            sums_equal_the_reference<double, double>(execution, rows, size, 1, element, 1e-12);
            sums_equal_the_reference<double, S>(execution, rows, size, 2, two, tolerance<S>);
            sums_equal_the_reference<S, S>(execution, rows, size, 2, two, 10 * tolerance<S>);
        }
}

template <class S>
struct Scaled {
    const S *values, *factors;
    std::int64_t size;
    struct Column {
        const S* values;
        S factor;
        std::int64_t size;
        BANTAM_HOST_DEVICE S operator()(std::int64_t row) const { return values[row * size] * factor; }
    };
    BANTAM_HOST_DEVICE Column operator()(std::int64_t index) const { return {values + index, factors[index], size}; }
};

}  // namespace

BOOST_AUTO_TEST_CASE(sums_over_rows_equal_the_reference) {
    sums_equal_the_reference<double>();
    sums_equal_the_reference<float>();
}

#ifndef __CUDACC__
BOOST_AUTO_TEST_CASE(sums_over_rows_do_not_depend_on_the_order_of_threads) {
    const std::int64_t rows = 700, size = 70, slices = 5;
    const std::vector<float> values = numbers<float>(rows * size, 1), factors = numbers<float>(size, 2);
    using Kernel = bantam::cuda::detail::RowReduction<double, ElementAndProduct<float>,
                                                      bantam::cuda::detail::StoreSums<2, double>>;
    std::vector<double> forwards(2 * slices * size), backwards(forwards.size());
    const auto kernel = [&](std::vector<double>& to) {
        return Kernel{{values.data(), factors.data(), size},
                      bantam::cuda::BatchSlices::of_rows(rows, rows / slices),
                      bantam::cuda::detail::ColumnTiles::of(size),
                      {to.data(), size}};
    };
    bantam::cuda::run_blocks(Execution{}, slices * kernel(forwards).tiles.count, kernel(forwards));
    run_backwards(slices * kernel(backwards).tiles.count, kernel(backwards));
    BOOST_TEST(forwards == backwards);
}
#endif

BOOST_AUTO_TEST_CASE(a_sum_over_no_rows_is_zero) {
    const Execution execution;
    auto partials = unset<double>(execution, max_slices * 3);
    auto result = unset<double>(execution, 3);
    bantam::cuda::sum_over_rows(execution, 0, 3, Element<double>{nullptr, 3}, partials.data(), result.data());
    BOOST_TEST(on_host(execution, result) == std::vector<double>(3, 0.0));
}

BOOST_AUTO_TEST_CASE(rows_are_written_column_by_column) {
    const Execution execution;
    for (const std::int64_t size : test_sizes({1, 3, 24, 33, 70}, {3, 33}))
        for (const std::int64_t rows : test_sizes({1, 5, 31, 400}, {5, 400})) {
            const std::vector<float> values = numbers<float>(rows * size, 1), factors = numbers<float>(size, 2);
            const auto device_values = on_device(execution, values), device_factors = on_device(execution, factors);
            auto output = unset<float>(execution, rows * size);
            const Scaled<float> scaled{device_values.data(), device_factors.data(), size};
            bantam::cuda::write_rows(execution, rows, size, scaled, output.data());
            std::vector<float> expected = values;
            for (std::size_t i = 0; i < expected.size(); ++i) expected[i] *= factors[i % factors.size()];
            BOOST_TEST(on_host(execution, output) == expected);
        }
}
