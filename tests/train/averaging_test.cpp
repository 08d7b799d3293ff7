// SPDX-License-Identifier: MIT
#define BOOST_TEST_MODULE averaging
#include <boost/test/unit_test.hpp>

#include "bantam/train/averaging.hpp"

#include <cstdint>
#include <string>
#include <vector>

using bantam::WeightAverage;

BOOST_AUTO_TEST_CASE(the_decay_grows_from_a_tenth_to_its_limit) {
    BOOST_TEST(bantam::warmed_decay(0.999, 0) == 0.1);
    BOOST_TEST(bantam::warmed_decay(0.999, 8) == 0.5);
    BOOST_TEST(bantam::warmed_decay(0.999, 8989) < 0.999);
    BOOST_TEST(bantam::warmed_decay(0.999, 9000) == 0.999);
    BOOST_TEST(bantam::warmed_decay(0.05, 0) == 0.05);
}

BOOST_AUTO_TEST_CASE(statistics_are_averaged_with_the_same_decay_as_parameters) {
    WeightAverage<double> average{0.9, std::vector<double>{1.0}, std::vector<double>{10.0, 20.0}};
    const double decay = average.advance();
    BOOST_TEST(decay == 0.1);
    average.add_statistics(decay, std::vector<double>{0.0, 40.0});
    BOOST_TEST(average.statistics()[0] == 1.0, boost::test_tools::tolerance(1e-14));
    BOOST_TEST(average.statistics()[1] == 38.0, boost::test_tools::tolerance(1e-14));
    average.add_statistics(average.advance(), std::vector<double>{1.0, 38.0});
    BOOST_TEST(average.statistics()[0] == 1.0, boost::test_tools::tolerance(1e-14));
    BOOST_TEST(average.updates() == 2);
}

BOOST_AUTO_TEST_CASE(an_average_of_constants_is_the_constant) {
    const std::vector<float> constant(5, 0.3F);
    WeightAverage<float> average{0.99, constant, constant};
    for (int update = 0; update < 100; ++update) {
        average.add_statistics(average.advance(), constant);
    }
    for (const float value : average.statistics()) BOOST_TEST(value == 0.3F);
}

BOOST_AUTO_TEST_CASE(a_restored_average_keeps_its_place_in_the_warm_up) {
    const std::vector<float> values(3, 1.0F);
    WeightAverage<float> unbroken{0.99, values, {}};
    for (int update = 0; update < 17; ++update) unbroken.advance();
    WeightAverage<float> restored{0.99, values, {}};
    restored.set_updates(unbroken.updates());
    BOOST_TEST(restored.advance() == unbroken.advance());
}

BOOST_AUTO_TEST_CASE(a_decay_of_zero_turns_averaging_off) {
    const std::vector<float> values(3, 1.0F);
    WeightAverage<float> average{0.0, values, values};
    BOOST_TEST(!average.active());
    BOOST_TEST(average.parameters().empty());
    BOOST_CHECK_NO_THROW(average.add_statistics(average.advance(), values));
    BOOST_TEST(average.statistics().empty());
}

BOOST_AUTO_TEST_CASE(statistics_of_another_network_are_refused) {
    const std::vector<float> values(3, 1.0F);
    WeightAverage<float> average{0.9, values, values};
    BOOST_CHECK_EXCEPTION(
        average.add_statistics(0.5, std::vector<float>(4)), bantam::Error, [](const bantam::Error& error) {
            return std::string(error.what()).find("the statistics buffer has 4 elements, expected 3") !=
                   std::string::npos;
        });
}
