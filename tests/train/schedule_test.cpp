// SPDX-License-Identifier: MIT
#define BOOST_TEST_MODULE schedule
#include <boost/test/unit_test.hpp>

#include "bantam/base/index.hpp"
#include "bantam/train/schedule.hpp"
#include "reference/training_reference.hpp"

#include <cmath>

namespace reference = training_reference;
using bantam::Index;
using bantam::Schedule;

BOOST_AUTO_TEST_CASE(the_cosine_matches_pytorch_after_the_warm_up) {
    for (const Index warmup : {0, 7}) {
        const Schedule schedule{
            .peak = 0.4, .warmup_steps = warmup, .total_steps = warmup + 20, .final_fraction = 0.05};
        for (Index step = 0; step < 20; ++step) {
            BOOST_TEST(schedule(warmup + step) == reference::cosine[static_cast<std::size_t>(step)],
                       boost::test_tools::tolerance(1e-12));
        }
    }
}

BOOST_AUTO_TEST_CASE(the_warm_up_is_a_line_that_starts_above_zero_and_ends_at_the_peak) {
    const Schedule schedule{.peak = 0.8, .warmup_steps = 4, .total_steps = 20};
    BOOST_TEST(schedule(0) == 0.2);
    BOOST_TEST(schedule(1) == 0.4);
    BOOST_TEST(schedule(3) == 0.8);
    BOOST_TEST(schedule(4) == 0.8);
    BOOST_TEST(schedule(5) < 0.8);
}

BOOST_AUTO_TEST_CASE(the_rate_never_rises_after_the_peak_and_stays_at_its_final_value) {
    const Schedule schedule{.peak = 1.0, .warmup_steps = 3, .total_steps = 50, .final_fraction = 0.1};
    for (Index step = 3; step < 60; ++step) BOOST_TEST(schedule(step + 1) <= schedule(step));
    BOOST_TEST(schedule(49) > 0.1);
    BOOST_TEST(schedule(50) == 0.1);
    BOOST_TEST(schedule(1000) == 0.1);
}

BOOST_AUTO_TEST_CASE(a_final_fraction_of_one_keeps_the_rate_constant) {
    const Schedule schedule{.peak = 0.3, .warmup_steps = 0, .total_steps = 10, .final_fraction = 1.0};
    for (Index step = 0; step < 12; ++step) {
        BOOST_TEST(schedule(step) == 0.3, boost::test_tools::tolerance(1e-15));
    }
}

BOOST_AUTO_TEST_CASE(a_run_of_warm_up_alone_is_defined) {
    const Schedule schedule{.peak = 1.0, .warmup_steps = 5, .total_steps = 5};
    for (Index step = 0; step < 5; ++step) BOOST_TEST(std::isfinite(schedule(step)));
    BOOST_TEST(schedule(5) == 0.0);
}
