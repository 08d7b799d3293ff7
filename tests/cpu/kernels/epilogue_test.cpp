// SPDX-License-Identifier: MIT
// Sources and epilogues compute their formulas: each is compared with scalar arithmetic in double.
#define BOOST_TEST_MODULE cpu_epilogue
#include <boost/test/unit_test.hpp>

#include <bantam/base/index.hpp>
#include <bantam/base/random.hpp>
#include <bantam/core/sequence.hpp>
#include <bantam/cpu/kernels/epilogue.hpp>
#include <bantam/cpu/kernels/source.hpp>
#include <bantam/exec/activation_functions.hpp>
#include <bantam/layers/activations.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <tuple>
#include <vector>

using namespace bantam;

namespace {

using CheapActivations = std::tuple<Identity, ReLU, ReLU6, HardSigmoid, HardSwish>;
constexpr Index rows = 70;      // more than one partial sum
constexpr Index channels = 13;  // full packets and a rest
constexpr auto size = static_cast<std::size_t>(rows * channels);

std::vector<double> numbers(std::size_t count, std::uint64_t stream) {
    Random random{7, stream};
    std::vector<double> values(count);
    for (double& value : values) value = random.uniform(-2, 2);
    return values;
}

/// Norm coefficients and two maps of random numbers.
struct Maps {
    std::vector<double> values = numbers(6 * channels, 1), z = numbers(size, 2), gradient = numbers(size, 3);
    cpu::NormCoefficients<double> norm = cpu::NormCoefficients<double>::at(values.data(), channels);

    double normalized(std::size_t i) const { return z[i] * norm.scale[i % channels] + norm.shift[i % channels]; }
};

template <class Act, class S>
void equals_the_scalar_function(S sum) {
    static_assert(exec::ActivationFunction<Act>::cheap);
    const std::vector<S> scale(cpu::lanes<S> + 1, S(0.5)), shift(cpu::lanes<S> + 1, S(0.25));
    const auto epilogue = cpu::NormActEpilogue<Act, S>{scale.data(), shift.data()}.starting_at(1);
    const auto results = epilogue.columns(0, cpu::load<S>)(cpu::broadcast(sum));
    const S expected = exec::ActivationFunction<Act>::value(sum * S(0.5) + S(0.25));
    for (int lane = 0; lane < cpu::lanes<S>; ++lane)
        BOOST_TEST((results[lane] == expected || (std::isnan(results[lane]) && std::isnan(expected))),
                   sum << " gives " << results[lane] << ", expected " << expected);
}

}  // namespace

BOOST_AUTO_TEST_CASE_TEMPLATE(cheap_activations_in_registers_equal_those_of_scalars, Act, CheapActivations) {
    for (const double sum : {-7.0, -3.0, -0.5, 0.0, 0.5, 3.0, 11.5, 12.0, 1e30, std::numeric_limits<double>::infinity(),
                             -std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()}) {
        equals_the_scalar_function<Act>(static_cast<float>(sum));
        equals_the_scalar_function<Act>(sum);
    }
}

BOOST_AUTO_TEST_CASE(a_norm_act_source_applies_norm_and_activation) {
    const Maps maps;
    const cpu::NormActSource<SiLU, channels, double> source{maps.z.data(), maps.norm};
    std::vector<double> scratch(size);
    const double* found = source.rows(2, rows - 2, scratch.data());
    for (std::size_t i = 2 * channels; i < size; ++i)
        BOOST_TEST(found[i - 2 * channels] == exec::ActivationFunction<SiLU>::value(maps.normalized(i)),
                   boost::test_tools::tolerance(1e-12));
}

BOOST_AUTO_TEST_CASE(a_norm_backward_source_gives_the_gradient_in_front_of_the_norm) {
    const Maps maps;
    constexpr Index pixels = 5;
    const cpu::NormBackwardSource<Identity, channels, double> stored{maps.gradient.data(), maps.z.data(), maps.norm};
    const cpu::NormBackwardSource<SiLU, channels, double, pixels> pooled{maps.gradient.data(), maps.z.data(),
                                                                         maps.norm};
    std::vector<double> from_stored(size), from_pooled(size);
    stored.rows(0, rows, from_stored.data());
    pooled.rows(0, rows, from_pooled.data());
    for (std::size_t i = 0; i < size; ++i) {
        const std::size_t c = i % channels;
        const auto z_gradient = [&](double g) {
            return maps.norm.scale[c] * g + maps.norm.slope[c] * maps.z[i] + maps.norm.offset[c];
        };
        const double mean_gradient = maps.gradient[i / channels / pixels * channels + c] / pixels;
        BOOST_TEST(from_stored[i] == z_gradient(maps.gradient[i]), boost::test_tools::tolerance(1e-11));
        BOOST_TEST(from_pooled[i] ==
                       z_gradient(mean_gradient * exec::ActivationFunction<SiLU>::derivative(maps.normalized(i))),
                   boost::test_tools::tolerance(1e-11));
    }
}

BOOST_AUTO_TEST_CASE(a_memory_epilogue_copies_rows_that_are_elsewhere) {
    const Maps maps;
    std::vector<double> to(size, 99.0);
    const cpu::MemoryEpilogue<channels, double> epilogue{to.data()};
    epilogue.store(3, 2, maps.z.data());
    for (std::size_t i = 0; i < size; ++i) {
        const bool written = i >= 3 * channels && i < 5 * channels;
        BOOST_TEST(to[i] == (written ? maps.z[i - 3 * channels] : 99.0));
    }
}

BOOST_AUTO_TEST_CASE(a_moments_epilogue_sums_differences_to_the_origin_and_their_squares) {
    const Maps maps;
    std::vector<double> to = maps.z, totals(2 * channels, 1.0), expected = totals;
    const cpu::MomentsEpilogue<channels, double> epilogue{to.data(), maps.norm.mean, totals.data()};
    epilogue.store(0, 40, epilogue.output(0));
    epilogue.store(40, rows - 40, epilogue.output(40));
    for (std::size_t i = 0; i < size; ++i) {
        const double difference = maps.z[i] - maps.norm.mean[i % channels];
        expected[i % channels] += difference;
        expected[channels + i % channels] += difference * difference;
    }
    for (std::size_t i = 0; i < totals.size(); ++i)
        BOOST_TEST(totals[i] == expected[i], boost::test_tools::tolerance(1e-11));
}

BOOST_AUTO_TEST_CASE(an_act_backward_epilogue_stores_the_norm_gradient_and_sums_it) {
    const Maps maps;
    std::vector<double> to(size), totals(2 * channels, 1.0), expected = totals;
    const cpu::ActBackwardEpilogue<SiLU, channels, double> epilogue{
        {maps.z.data(), maps.norm}, to.data(), totals.data()};
    epilogue.store(0, 40, maps.gradient.data());
    epilogue.store(40, rows - 40, maps.gradient.data() + 40 * channels);
    for (std::size_t i = 0; i < size; ++i) {
        const double g = maps.gradient[i] * exec::ActivationFunction<SiLU>::derivative(maps.normalized(i));
        BOOST_TEST(to[i] == g, boost::test_tools::tolerance(1e-12));
        expected[i % channels] += g;
        expected[channels + i % channels] += g * (maps.z[i] - maps.norm.mean[i % channels]);
    }
    for (std::size_t i = 0; i < totals.size(); ++i)
        BOOST_TEST(totals[i] == expected[i], boost::test_tools::tolerance(1e-10));
}
