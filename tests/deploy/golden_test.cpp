// SPDX-License-Identifier: MIT
// Weights and logits of an earlier day: the layout of the weights and every bit of the arithmetic stay. Where they must
// change, write golden_student.hpp again with `test.deploy.golden --run_test=@write`, which $BANTAM_GOLDEN names.
#define BOOST_TEST_MODULE deploy_golden
#include <boost/test/unit_test.hpp>

#include "deployed_nets.hpp"
#include "golden_student.hpp"

#include <bantam/deploy/export.hpp>
#include <bantam/deploy/line_classifier.hpp>
#include <bantam/deploy/self_test.hpp>

#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

using namespace deployed;

BOOST_AUTO_TEST_CASE(whole_maps_give_the_golden_logits) {
    const auto classifier = std::make_unique<deploy::Classifier<golden::Network, golden::Precision>>(golden::weights);
    std::vector<std::uint8_t> picture(static_cast<std::size_t>(element_count(input_shape<golden::Network>)));
    const std::int32_t* logits = deploy::test_logits(*classifier, picture.data());
    BOOST_TEST(std::vector<std::int32_t>(logits, logits + 5) ==
                   std::vector<std::int32_t>(golden::expected_test_logits, golden::expected_test_logits + 5),
               boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(lines_give_the_golden_logits) {
    const auto classifier =
        std::make_unique<deploy::LineClassifier<golden::Network, golden::Precision>>(golden::weights);
    BOOST_TEST(deploy::logits_match(deploy::test_logits(*classifier), golden::expected_test_logits, 5));
}

BOOST_AUTO_TEST_CASE(logits_of_other_weights_do_not_match) {
    auto weights = std::make_unique<deploy::Weights<golden::Network, golden::Precision>>(golden::weights);
    weights->weights[0] = static_cast<std::int8_t>(weights->weights[0] ^ 64);
    const auto classifier = std::make_unique<deploy::LineClassifier<golden::Network, golden::Precision>>(*weights);
    BOOST_TEST(!deploy::logits_match(deploy::test_logits(*classifier), golden::expected_test_logits, 5));
}

BOOST_AUTO_TEST_CASE(a_type_as_text_has_short_sizes) {
    using Net = Network<Image<8, 8, 3>, Conv2d<8, Size2d{1, 7}, 2>, Conv2d<8, 3, 1, ConvOptions{.bias = false}>>;
    const std::string text = deploy::type_text<Net>();
    BOOST_TEST(text.find("bantam::Conv2d<8, bantam::Size2d{1, 7}, 2") != std::string::npos, text);
#ifndef __clang__  // which prints no names of types inside others
    BOOST_TEST(text.ends_with("bantam::Conv2d<8, 3, 1, bantam::ConvOptions{-1, 1, 1, false}>>"), text);
#endif
}

BOOST_AUTO_TEST_CASE(write_golden_student, *boost::unit_test::label("write") * boost::unit_test::disabled()) {
    const char* path = std::getenv("BANTAM_GOLDEN");
    BOOST_REQUIRE(path != nullptr);
    cpu::Model<GoldenNet> model = random_model<GoldenNet>(5);
    std::ofstream{path} << deploy::header_text<GoldenNet>(
        *int8_weights<GoldenNet>(model),
        {.type = "deployed::GoldenNet", .includes = {}, .name = "golden", .classes = {"a", "b", "c", "d", "\"e\""}});
}
