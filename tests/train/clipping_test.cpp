// SPDX-License-Identifier: MIT
#define BOOST_TEST_MODULE clipping
#include <boost/test/unit_test.hpp>

#include "bantam/base/random.hpp"
#include "bantam/train/clipping.hpp"
#include "reference/training_reference.hpp"

#include <cmath>
#include <cstddef>
#include <limits>
#include <string>
#include <vector>

namespace reference = training_reference;

BOOST_AUTO_TEST_CASE(the_norm_matches_pytorch) {
    const std::span<const double> gradients{reference::gradients};
    constexpr std::size_t count = reference::decayed + reference::plain;
    for (std::size_t step = 0; step < reference::steps; ++step) {
        BOOST_TEST(
            bantam::gradient_norm<double>(gradients.subspan(step * count, count)) == reference::gradient_norms[step],
            boost::test_tools::tolerance(1e-14));
    }
}

BOOST_AUTO_TEST_CASE(a_clipped_gradient_has_the_clip_norm_and_its_direction) {
    std::vector<double> gradient{3.0, -4.0, 12.0};
    const double scale = bantam::clip_scale(bantam::gradient_norm<double>(gradient), 6.5);
    BOOST_TEST(scale == 0.5, boost::test_tools::tolerance(1e-6));
    for (double& value : gradient) value *= scale;
    BOOST_TEST(bantam::gradient_norm<double>(gradient) == 6.5, boost::test_tools::tolerance(1e-6));
}

BOOST_AUTO_TEST_CASE(a_short_gradient_and_a_clip_norm_of_zero_change_nothing) {
    BOOST_TEST(bantam::clip_scale(0.99, 1.0) == 1.0);
    BOOST_TEST(bantam::clip_scale(0.0, 1.0) == 1.0);
    BOOST_TEST(bantam::clip_scale(1e9, 0.0) == 1.0);
    BOOST_TEST(bantam::clip_scale(2.0, 1.0) < 1.0);
}

BOOST_AUTO_TEST_CASE(the_norm_has_the_same_bits_for_any_thread_count) {
    bantam::Random random{5, 0};
    // Enough chunks for several threads, and an end that does not fill a chunk.
    std::vector<float> gradient(20 * 16384 + 77);
    double plain = 0.0;
    for (float& value : gradient) {
        value = static_cast<float>(random.normal());
        plain += static_cast<double>(value) * static_cast<double>(value);
    }
    const double norm = bantam::gradient_norm<float>(gradient, 1);
    BOOST_TEST(norm == std::sqrt(plain), boost::test_tools::tolerance(1e-12));
    for (const int threads : {2, 3, 7}) {
        BOOST_TEST(bantam::gradient_norm<float>(gradient, threads) == norm);
    }
    BOOST_TEST(bantam::gradient_norm<float>({}) == 0.0);
}

BOOST_AUTO_TEST_CASE(large_single_precision_gradients_do_not_overflow) {
    const std::vector<float> gradient(4, 1e30F);
    BOOST_TEST(bantam::gradient_norm<float>(gradient) == 2e30, boost::test_tools::tolerance(1e-6));
}

BOOST_AUTO_TEST_CASE(a_gradient_that_is_not_finite_is_reported) {
    std::vector<float> gradient(100, 1.0F);
    for (const float bad : {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
        gradient[99] = bad;
        const double norm = bantam::gradient_norm<float>(gradient);
        for (const double limit : {0.0, 1.0}) {
            BOOST_CHECK_EXCEPTION(bantam::clip_scale(norm, limit), bantam::Error, [](const bantam::Error& error) {
                return std::string(error.what()).find("gradient norm is not finite") == 0;
            });
        }
    }
}
