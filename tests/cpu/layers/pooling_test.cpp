// SPDX-License-Identifier: MIT
#define BOOST_TEST_MODULE cpu_pooling
#include "layer_passes.hpp"

#include <bantam/layers/flatten.hpp>
#include <bantam/layers/pooling.hpp>

#include <cmath>
#include <cstddef>
#include <limits>

using namespace bantam;

BOOST_AUTO_TEST_CASE(max_pooling_passes) {
    layer_passes<MaxPool2d<3, 2, 1>, Shape{7, 6, 17}>({2});
    layer_passes<MaxPool2d<3, 1, 1>, Shape{4, 4, 3}>({2});
    layer_passes<MaxPool2d<2, 3>, Shape{6, 6, 2}>({2});
    layer_passes<MaxPool2d<3, 2, 1>, Shape{2, 1, 3}>({2});
}

BOOST_AUTO_TEST_CASE(average_pooling_passes) {
    layer_passes<AvgPool2d<3, 1, 1>, Shape{4, 3, 17}>({2});
    layer_passes<AvgPool2d<3, 2, 1>, Shape{2, 1, 3}>({2});
    layer_passes<GlobalAveragePool, Shape{1, 1, 7}>({2});
    layer_passes<Flatten, Shape{3, 2, 5}>({2});
}

BOOST_AUTO_TEST_CASE(max_pooling_propagates_nan) {
    cpu::Model<Network<Image<2, 2, 1>, MaxPool2d<2>>> model;
    const float nan = std::numeric_limits<float>::quiet_NaN();
    for (std::size_t at = 0; at < 4; ++at) {
        float input[] = {1, 2, 3, 4};
        input[at] = nan;
        float output = 0;
        model.infer(input, 1, &output);
        BOOST_TEST(std::isnan(output));
    }
}

BOOST_AUTO_TEST_CASE(max_pooling_gives_the_gradient_to_the_first_of_equal_values) {
    cpu::Model<Network<Image<2, 2, 1>, MaxPool2d<2>>> model;
    const float input[] = {1, 5, 5, 5};
    const float one = 1;
    float output = 0, gradient[4] = {};
    model.forward(input, 1, 0, &output);
    model.backward(&one, nullptr, gradient);
    BOOST_TEST(gradient[1] == 1.0f);
    BOOST_TEST(gradient[0] + gradient[2] + gradient[3] == 0.0f);
}
