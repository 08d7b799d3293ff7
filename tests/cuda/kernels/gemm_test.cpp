// SPDX-License-Identifier: MIT
// Products on the device equal the plain triple loop, whichever factor is transposed.
#define BOOST_TEST_MODULE cuda_matrix_product
#include <boost/test/unit_test.hpp>

#include <bantam/base/random.hpp>
#include <bantam/cuda/kernels/gemm.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

using namespace bantam;
using bantam::cuda::Transposed;

namespace {

std::vector<double> numbers(std::int64_t size, std::uint64_t stream) {
    Random random{9, stream};
    std::vector<double> values(static_cast<std::size_t>(size));
    for (double& value : values) value = random.uniform(-1, 1);
    return values;
}

void multiplies(std::int64_t m, std::int64_t n, std::int64_t k, Transposed a_as, Transposed b_as) {
    const std::int64_t a_stride = (a_as == Transposed::yes ? m : k) + 2;
    const std::int64_t b_stride = (b_as == Transposed::yes ? k : n) + 1;
    const std::int64_t c_stride = n + 3;
    const std::vector<double> a = numbers((a_as == Transposed::yes ? k : m) * a_stride, 1);
    const std::vector<double> b = numbers((b_as == Transposed::yes ? n : k) * b_stride, 2);
    const std::vector<double> before = numbers(m * c_stride, 3);

    const bantam::cuda::Execution execution;
    bantam::cuda::Pass<double> pass;
    pass.execution = &execution;
    const auto on_device = [&](const std::vector<double>& values) {
        bantam::cuda::DeviceBuffer<double> buffer;
        buffer.reserve(std::ssize(values));
        bantam::cuda::copy_to_device(execution, values.data(), std::ssize(values), buffer.data());
        return buffer;
    };
    const auto a_there = on_device(a);
    const auto b_there = on_device(b);
    for (const bool by_element : {false, true}) {
        auto c_there = on_device(before);
        const bantam::cuda::Operand<double> left{a_there.data(), a_stride, a_as}, right{b_there.data(), b_stride, b_as};
        if (by_element)
            bantam::cuda::multiply_by_element<double>(pass, m, n, k, left, right, c_there.data(), c_stride);
        else
            bantam::cuda::multiply<double>(pass, m, n, k, left, right, c_there.data(), c_stride);
        std::vector<double> c(before.size());
        bantam::cuda::copy_to_host(execution, c_there.data(), std::ssize(c), c.data());
        for (std::int64_t i = 0; i < m * c_stride; ++i) {
            const std::int64_t row = i / c_stride, column = i % c_stride;
            double expected = before[static_cast<std::size_t>(i)];
            if (column < n) {
                expected = 0;
                for (std::int64_t t = 0; t < k; ++t)
                    expected +=
                        a[static_cast<std::size_t>(a_as == Transposed::yes ? t * a_stride + row : row * a_stride + t)] *
                        b[static_cast<std::size_t>(b_as == Transposed::yes ? column * b_stride + t
                                                                           : t * b_stride + column)];
            }
            BOOST_TEST(std::abs(c[static_cast<std::size_t>(i)] - expected) <= 1e-13 * static_cast<double>(k + 1),
                       m << 'x' << n << 'x' << k << ", element " << i);
        }
    }
}

}  // namespace

BOOST_AUTO_TEST_CASE(products_of_transposed_and_plain_factors_equal_the_triple_loop) {
    for (const std::int64_t m : {1, 5, 33})
        for (const std::int64_t n : {1, 7, 16})
            for (const std::int64_t k : {1, 9, 40})
                for (const Transposed a_as : {Transposed::no, Transposed::yes})
                    for (const Transposed b_as : {Transposed::no, Transposed::yes}) multiplies(m, n, k, a_as, b_as);
}
