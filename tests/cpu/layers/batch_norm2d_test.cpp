// SPDX-License-Identifier: MIT
#define BOOST_TEST_MODULE cpu_batch_norm2d
#include "layer_passes.hpp"

#include <bantam/layers/activations.hpp>
#include <bantam/layers/batch_norm2d.hpp>

#include <cmath>
#include <cstddef>
#include <vector>

using namespace bantam;

BOOST_AUTO_TEST_CASE(batch_norm_passes) {
    layer_passes<BatchNorm2d, Shape{3, 4, 5}>();
    layer_passes<BatchNorm2d, Shape{5, 3, 16}>({2});
    layer_passes<BatchNorm2d, Shape{1, 1, 3}>({3, 17});
}

BOOST_AUTO_TEST_CASE(batch_norm_fused_with_an_activation_passes) {
    layer_passes<Sequence<BatchNorm2d, ReLU>, Shape{3, 4, 5}>({3});
    layer_passes<Sequence<BatchNorm2d, ReLU6>, Shape{3, 4, 5}>({3});
    layer_passes<Sequence<BatchNorm2d, SiLU>, Shape{3, 4, 17}>({3});
    layer_passes<Sequence<BatchNorm2d, HardSwish>, Shape{3, 4, 5}>({3});
}

BOOST_AUTO_TEST_CASE(running_statistics_move_a_tenth_towards_the_batch) {
    using Net = Network<Image<2, 1, 1>, BatchNorm2d>;
    cpu::Model<Net, double> model;
    model.initialize(1);
    const double input[] = {1, 3, 5, 7};  // mean 4, variance 5, unbiased 20 / 3
    double output[4] = {};
    model.forward(input, 2, 0, output);
    BOOST_TEST(model.statistics()[0] == 0.4, boost::test_tools::tolerance(1e-12));
    BOOST_TEST(model.statistics()[1] == 0.9 + 0.1 * 20 / 3, boost::test_tools::tolerance(1e-12));
    BOOST_TEST(output[0] == -3 / std::sqrt(5 + 1e-5), boost::test_tools::tolerance(1e-12));
    model.infer(input, 2, output);
    BOOST_TEST(output[0] == (1 - 0.4) / std::sqrt(0.9 + 2.0 / 3 + 1e-5), boost::test_tools::tolerance(1e-12));
    BOOST_TEST(model.statistics()[0] == 0.4, boost::test_tools::tolerance(1e-12));
}

BOOST_AUTO_TEST_CASE(a_channel_far_from_zero_keeps_its_variance_in_float) {
    using Net = Network<Image<64, 64, 1>, BatchNorm2d>;
    cpu::Model<Net, float> model;
    model.initialize(1);
    std::vector<float> input(64 * 64), output(64 * 64);
    for (std::size_t i = 0; i < input.size(); ++i) input[i] = 10000.0f + (i % 2 ? 1.0f : -1.0f);
    model.forward(input.data(), 1, 0, output.data());
    BOOST_TEST(output[0] == -1.0f, boost::test_tools::tolerance(1e-3f));
    BOOST_TEST(output[1] == 1.0f, boost::test_tools::tolerance(1e-3f));
}

BOOST_AUTO_TEST_CASE(a_constant_channel_gives_its_bias) {
    using Net = Network<Image<2, 2, 1>, BatchNorm2d, ReLU>;
    cpu::Model<Net, float> model;
    model.initialize(1);
    model.parameters()[1] = 0.5f;
    const float input[] = {3, 3, 3, 3};
    float output[4] = {}, gradient[2] = {}, input_gradient[4] = {};
    model.forward(input, 1, 0, output);
    model.backward(output, gradient, input_gradient);
    BOOST_TEST(output[2] == 0.5f);
    BOOST_TEST(std::isfinite(input_gradient[0]));
    BOOST_TEST(gradient[1] == 2.0f);
}
