// SPDX-License-Identifier: MIT
#define BOOST_TEST_MODULE base_random
#include "bantam/base/random.hpp"

#include <array>
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <set>

namespace {

constexpr std::uint64_t draws = 100'000;

BOOST_AUTO_TEST_CASE(bits_are_equal_at_compile_time_and_run_time) {
    constexpr std::uint64_t bits = bantam::random_bits(7, 11, 13);
    std::uint64_t seed = 7;
    BOOST_TEST(bantam::random_bits(seed, 11, 13) == bits);
    static_assert(bantam::random_bits(7, 11, 13) != bantam::random_bits(7, 13, 11));
    static_assert(bantam::random_bits(7, 11, 13) != bantam::random_bits(11, 7, 13));
}

BOOST_AUTO_TEST_CASE(neighboring_seeds_streams_and_counters_differ) {
    std::set<std::uint64_t> seen;
    for (std::uint64_t seed = 0; seed < 30; ++seed)
        for (std::uint64_t stream = 0; stream < 30; ++stream)
            for (std::uint64_t counter = 0; counter < 30; ++counter)
                seen.insert(bantam::random_bits(seed, stream, counter));
    BOOST_TEST(seen.size() == 27'000U);
}

BOOST_AUTO_TEST_CASE(uniform_numbers_fill_their_interval_evenly) {
    std::array<int, 10> histogram{};
    for (std::uint64_t counter = 0; counter < draws; ++counter) {
        const double value = bantam::random_uniform(3, 5, counter);
        BOOST_REQUIRE(value >= 0.0);
        BOOST_REQUIRE(value < 1.0);
        ++histogram[static_cast<std::size_t>(value * 10.0)];
    }
    // Five standard deviations of a binomial count with p = 1/10.
    for (const int count : histogram) BOOST_TEST(std::abs(count - 10'000) < 475);
}

BOOST_AUTO_TEST_CASE(uniform_numbers_stay_between_their_bounds) {
    bantam::Random random{1, 2};
    for (int draw = 0; draw < 1000; ++draw) {
        const double value = random.uniform(-3.0, -1.0);
        BOOST_REQUIRE(value >= -3.0);
        BOOST_REQUIRE(value < -1.0);
    }
}

BOOST_AUTO_TEST_CASE(below_gives_every_integer_under_its_bound) {
    bantam::Random random{4, 0};
    std::set<std::uint64_t> seen;
    for (int draw = 0; draw < 1000; ++draw) seen.insert(random.below(7));
    BOOST_TEST(seen.size() == 7U);
    BOOST_TEST(*seen.rbegin() == 6U);
}

BOOST_AUTO_TEST_CASE(normal_numbers_have_mean_zero_and_variance_one) {
    bantam::Random random{9, 9};
    double sum = 0.0;
    double squares = 0.0;
    for (std::uint64_t draw = 0; draw < draws; ++draw) {
        const double value = random.normal();
        sum += value;
        squares += value * value;
    }
    const double count = static_cast<double>(draws);
    BOOST_TEST(std::abs(sum / count) < 0.02);
    BOOST_TEST(std::abs(squares / count - 1.0) < 0.03);
}

BOOST_AUTO_TEST_CASE(a_sequence_follows_its_stream) {
    bantam::Random random{21, 42};
    for (std::uint64_t counter = 0; counter < 5; ++counter)
        BOOST_TEST(random.bits() == bantam::random_bits(21, 42, counter));
}

}  // namespace
