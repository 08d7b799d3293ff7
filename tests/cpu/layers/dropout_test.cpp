// SPDX-License-Identifier: MIT
#define BOOST_TEST_MODULE cpu_dropout
#include "layer_passes.hpp"

#include <bantam/layers/branches.hpp>
#include <bantam/layers/dropout.hpp>
#include <bantam/layers/residual.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

using namespace bantam;

namespace {

constexpr Index samples = 20;
using Net = Network<Image<10, 10, 7>, Dropout<30>>;

std::vector<float> dropped(std::uint64_t seed, int threads) {
    cpu::Model<Net> model{threads};
    const std::vector<float> ones(static_cast<std::size_t>(samples * 700), 1.0f);
    std::vector<float> output(ones.size());
    model.forward(ones.data(), samples, seed, output.data());
    return output;
}

}  // namespace

BOOST_AUTO_TEST_CASE(dropout_passes) {
    layer_passes<Dropout<30>, Shape{3, 4, 5}>();
    layer_passes<Dropout<0>, Shape{3, 4, 5}>({2});
    layer_passes<Residual<Dropout<50>, Dropout<50>>, Shape{3, 4, 5}>({3});
}

BOOST_AUTO_TEST_CASE(the_stated_share_is_dropped_and_the_rest_is_scaled) {
    const std::vector<float> output = dropped(5, 1);
    const double size = static_cast<double>(output.size());
    const auto zeros = static_cast<double>(std::count(output.begin(), output.end(), 0.0f));
    const auto scaled = static_cast<double>(std::count(output.begin(), output.end(), 1 / 0.7f));
    // Five standard deviations of a binomial distribution.
    BOOST_TEST(std::abs(zeros / size - 0.3) < 5 * std::sqrt(0.3 * 0.7 / size));
    BOOST_TEST(zeros + scaled == size);
}

BOOST_AUTO_TEST_CASE(the_mask_depends_on_the_seed_and_not_on_the_threads) {
    BOOST_TEST((dropped(5, 1) == dropped(5, 3)));
    BOOST_TEST((dropped(5, 1) != dropped(6, 1)));
}

BOOST_AUTO_TEST_CASE(layers_and_samples_have_different_masks) {
    using Twice = Network<Image<10, 10, 7>, Concatenate<Dropout<30>, Dropout<30>>>;
    cpu::Model<Twice> model;
    const std::vector<float> ones(2 * 700, 1.0f);
    std::vector<float> output(4 * 700);
    model.forward(ones.data(), 2, 5, output.data());
    int layers = 0, samples_differ = 0;
    for (std::size_t i = 0; i < 100; ++i)
        for (std::size_t c = 0; c < 7; ++c) {
            layers += output[i * 14 + c] != output[i * 14 + 7 + c];
            samples_differ += output[i * 14 + c] != output[1400 + i * 14 + c];
        }
    BOOST_TEST(layers > 200);
    BOOST_TEST(samples_differ > 200);
}

BOOST_AUTO_TEST_CASE(backward_drops_the_same_elements) {
    cpu::Model<Net> model{2};
    const std::vector<float> ones(static_cast<std::size_t>(samples * 700), 1.0f);
    std::vector<float> output(ones.size()), gradient(ones.size());
    model.forward(ones.data(), samples, 9, output.data());
    model.backward(ones.data(), nullptr, gradient.data());
    BOOST_TEST((output == gradient));
}

BOOST_AUTO_TEST_CASE(inference_drops_nothing) {
    cpu::Model<Net> model;
    const std::vector<float> ones(700, 1.0f);
    std::vector<float> output(700);
    model.infer(ones.data(), 1, output.data());
    BOOST_TEST((output == ones));
}
