// SPDX-License-Identifier: MIT
// The layer and the activation that docs/adding-a-layer.md shows pass check_layer, alone and in networks.
#define BOOST_TEST_MODULE docs_adding_a_layer
#include <boost/test/unit_test.hpp>

#include "docs/cpu/layers/learned_scale.hpp"
#include "docs/layers/squared_relu.hpp"

#include <bantam/bantam.hpp>
#include <bantam/cpu/check_layer.hpp>

#include <cstdint>
#include <string_view>
#include <vector>

BOOST_AUTO_TEST_CASE(check_layer_accepts_the_layer) {
    const auto report = bantam::cpu::check_layer<LearnedScale, bantam::Shape{5, 4, 3}>();
    BOOST_TEST(report.ok, report.message);
}

BOOST_AUTO_TEST_CASE(check_layer_accepts_the_activation_alone_and_fused) {
    const auto alone = bantam::cpu::check_layer<SquaredReLU, bantam::Shape{5, 4, 3}>();
    BOOST_TEST(alone.ok, alone.message);
    using Block = bantam::Sequence<bantam::Conv2d<4, 3>, bantam::BatchNorm2d, SquaredReLU>;
    const auto fused = bantam::cpu::check_layer<Block, bantam::Shape{5, 4, 3}>();
    BOOST_TEST(fused.ok, fused.message);
}

BOOST_AUTO_TEST_CASE(counts_and_names_follow_from_the_tensor_list) {
    using Net = bantam::Network<bantam::Image<8, 8, 3>, bantam::Conv2d<4, 3>, LearnedScale, bantam::GlobalAveragePool>;
    static_assert(bantam::parameter_count<Net> == 3 * 3 * 3 * 4 + 4 + 4);
    static_assert(bantam::tensor_table<Net>[2].name.view() == "1.scale");
    BOOST_TEST(std::string_view{bantam::summary<Net>()}.find("LearnedScale") != std::string_view::npos);
}

BOOST_AUTO_TEST_CASE(training_moves_the_scale) {
    using Net = bantam::Network<bantam::Image<4, 4, 2>, LearnedScale, bantam::GlobalAveragePool, bantam::Linear<2>>;
    bantam::cpu::Model<Net> model;
    model.initialize(1);
    const std::vector<float> pictures(2 * model.input_elements, 0.5F);
    std::vector<float> logits(2 * model.output_elements), parameter_gradient(bantam::trainable_parameters<Net>);
    const std::vector<float> logits_gradient{1, -1, -1, 2};
    model.forward(pictures.data(), 2, 1, logits.data());
    model.backward(logits_gradient.data(), parameter_gradient.data());
    BOOST_TEST(parameter_gradient[0] != 0);
    BOOST_TEST(parameter_gradient[1] != 0);
}
