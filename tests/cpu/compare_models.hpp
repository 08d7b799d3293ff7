// SPDX-License-Identifier: MIT
#pragma once

#include "reference/test_numbers.hpp"

#include <boost/test/unit_test.hpp>

#include <bantam/base/random.hpp>
#include <bantam/cpu/model.hpp>

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <vector>

/// All results of a model for one batch.
template <class S>
struct Everything {
    std::vector<S> output, parameter_gradient, input_gradient, statistics, inferred;
    bool operator==(const Everything&) const = default;
};

/// Moves values away from zero and one, which would hide a forgotten bias or scale.
template <class S>
void unsettle(std::span<S> values, std::uint64_t stream) {
    bantam::Random random{4, stream};
    for (S& value : values) value += static_cast<S>(random.uniform(-0.25, 0.25));
}

template <class Net, class S, bool Fused = true>
Everything<S> run(std::int64_t count, int threads) {
    bantam::cpu::Model<Net, S, Fused> model{threads};
    model.initialize(11);
    unsettle(model.parameters(), 1);
    unsettle(model.statistics(), 2);
    const std::vector<S> input = numbers<S>(count * model.input_elements, 1);
    const std::vector<S> output_gradient = numbers<S>(count * model.output_elements, 2);
    Everything<S> result;
    result.output.resize(output_gradient.size());
    result.inferred.resize(output_gradient.size());
    result.parameter_gradient.resize(model.parameters().size());
    result.input_gradient.resize(input.size());
    model.forward(input.data(), count, 77, result.output.data());
    model.backward(output_gradient.data(), result.parameter_gradient.data(), result.input_gradient.data());
    model.infer(input.data(), count, result.inferred.data());
    result.statistics.assign(model.statistics().begin(), model.statistics().end());
    return result;
}

template <class A, class B>
void agree(const Everything<A>& a, const Everything<B>& b, double tolerance) {
    BOOST_TEST(largest_difference(a.output, b.output) <= tolerance);
    BOOST_TEST(largest_difference(a.parameter_gradient, b.parameter_gradient) <= tolerance);
    BOOST_TEST(largest_difference(a.input_gradient, b.input_gradient) <= tolerance);
    BOOST_TEST(largest_difference(a.statistics, b.statistics) <= tolerance);
    BOOST_TEST(largest_difference(a.inferred, b.inferred) <= tolerance);
}

/// Checks that `Net` with its layers fused gives what is expected, with the same bits on any number of threads.
template <class Net, class S>
void fused_gives(const Everything<double>& expected, std::int64_t count, double tolerance) {
    BOOST_TEST_CONTEXT("batch of " << count << ", scalars of " << sizeof(S) << " bytes") {
        const Everything<S> one = run<Net, S, true>(count, 1);
        agree(one, expected, tolerance);
        for (const int threads : {2, 3})
            BOOST_CHECK_MESSAGE((run<Net, S, true>(count, threads) == one), threads << " threads differ from one");
    }
}

/// `Net` with its layers fused gives, in double and in float, what every layer by itself gives in double: with batches
/// of a few samples and of more samples than chunks.
template <class Net>
void fused_equals_single_layers(std::initializer_list<std::int64_t> counts = {5, 18}) {
    using Fused = typename bantam::cpu::Model<Net, double, true>::Program;
    using Single = typename bantam::cpu::Model<Net, double, false>::Program;
    static_assert(Fused::saved_per_sample(true) < Single::saved_per_sample(true), "there is nothing to fuse");
    for (const std::int64_t count : counts) {
        const Everything<double> expected = run<Net, double, false>(count, 1);
        fused_gives<Net, double>(expected, count, 1e-10);
        fused_gives<Net, float>(expected, count, 2e-4);
    }
}
