// SPDX-License-Identifier: MIT
// Channels whose norms are zero change nothing, so that the network without them has the same logits.
#define BOOST_TEST_MODULE prune_channels
#include <boost/test/unit_test.hpp>

#include "bantam/bantam.hpp"
#include "bantam/prune/prune_channels.hpp"

#include <algorithm>
#include <cstddef>
#include <random>
#include <string>
#include <vector>

using namespace bantam;

namespace {

constexpr ConvOptions no_bias{.bias = false};

/// `C` channels in the stem, `D` in the next block and the residuals, `E` inside the inverted residual, which is
/// written out as the block writes itself out.
template <int C, int D, int E>
using Net =
    Network<Image<12, 12, 3>, Conv2d<C, 3, 2, no_bias>, BatchNorm2d, ReLU6, DepthwiseSeparable<D, 2>,
            Residual<DepthwiseConv2d<3, 1, no_bias>, BatchNorm2d, ReLU, PointwiseConv2d<D, no_bias>, BatchNorm2d>,
            Sequence<Residual<Sequence<PointwiseConv2d<E, no_bias>, BatchNorm2d, ReLU6,
                                       Sequence<DepthwiseConv2d<3, 1, no_bias>, BatchNorm2d, ReLU6,
                                                PointwiseConv2d<D, no_bias>, BatchNorm2d>>>>,
            GlobalAveragePool, Linear<4>>;

/// The wide one with its inverted residual as a block.
using Wide =
    Network<Image<12, 12, 3>, Conv2d<12, 3, 2, no_bias>, BatchNorm2d, ReLU6, DepthwiseSeparable<16, 2>,
            Residual<DepthwiseConv2d<3, 1, no_bias>, BatchNorm2d, ReLU, PointwiseConv2d<16, no_bias>, BatchNorm2d>,
            InvertedResidual<16, 1, 2>, GlobalAveragePool, Linear<4>>;
using Narrow = Net<8, 8, 20>;

struct Weights {
    std::vector<float> parameters;
    std::vector<float> statistics;
};

/// The network's groups that can lose channels, and how many of them stay in the narrow network.
Index alive_channels(Index channels) { return channels == 12 || channels == 16 ? 8 : 20; }

/// Random weights with positive variances. Scale and shift of the channels that the narrow network lacks are zero.
Weights weights_with_dead_channels(const PrunableNetwork& network) {
    Weights weights{std::vector<float>(static_cast<std::size_t>(trainable_parameters<Wide>)),
                    std::vector<float>(static_cast<std::size_t>(non_trainable_parameters<Wide>))};
    std::mt19937 random{7};
    std::uniform_real_distribution<float> any{-0.5F, 0.5F};
    for (float& value : weights.parameters) value = any(random);
    for (float& value : weights.statistics) value = 0.6F + any(random);
    for (const ChannelGroup& group : network.groups)
        for (const int norm : group.norms)
            for (Index c = 0; c < group.channels; ++c) {
                const bool dead = c * 5 % group.channels >= alive_channels(group.channels);
                const auto position = static_cast<std::size_t>(norm);
                const auto scale = static_cast<std::size_t>(network.tensors[position].offset + c);
                const auto shift = static_cast<std::size_t>(network.tensors[position + 1].offset + c);
                weights.parameters[scale] = dead ? 0 : 1 + any(random);
                if (dead) weights.parameters[shift] = 0;
            }
    return weights;
}

template <class Network>
std::vector<float> logits(const Weights& weights, const std::vector<float>& pixels) {
    cpu::Model<Network, float> model;
    model.set_weights(weights.parameters, weights.statistics);
    const auto found = model.infer(pixels);
    return {found.begin(), found.end()};
}

}  // namespace

BOOST_AUTO_TEST_CASE(groups_follow_the_channels) {
    const PrunableNetwork network = prunable_network<Wide>();
    BOOST_TEST(network.tensors.size() == network.axes.size());
    std::vector<Index> widths;
    std::vector<Index> prunable;
    for (const ChannelGroup& group : network.groups) {
        widths.push_back(group.channels);
        if (!group.fixed) prunable.push_back(group.channels);
    }
    // The stem's channels; those that the residuals share; those inside the inverted residual.
    std::ranges::sort(prunable);
    BOOST_TEST(prunable == (std::vector<Index>{12, 16, 32}), boost::test_tools::per_element());
    BOOST_TEST(parameter_count_of(network, widths) == parameter_count<Wide>);
}

BOOST_AUTO_TEST_CASE(dead_channels_are_removed_and_the_logits_stay) {
    const PrunableNetwork network = prunable_network<Wide>();
    const Weights weights = weights_with_dead_channels(network);
    const KeptChannels kept = choose_channels(network, weights.parameters, {.parameters = parameter_count<Narrow>});

    const PrunableNetwork narrow = prunable_network<Narrow>();
    Weights pruned{std::vector<float>(static_cast<std::size_t>(trainable_parameters<Narrow>)),
                   std::vector<float>(static_cast<std::size_t>(non_trainable_parameters<Narrow>))};
    const auto tensors = prune_channels(network, kept, weights.parameters, weights.statistics);
    BOOST_REQUIRE(tensors.size() == narrow.tensors.size());
    for (std::size_t i = 0; i < tensors.size(); ++i) {
        const NamedTensor& entry = narrow.tensors[i];
        BOOST_TEST(tensors[i].name == entry.name.view());
        BOOST_REQUIRE(std::ssize(tensors[i].values) == entry.tensor.element_count());
        std::ranges::copy(tensors[i].values,
                          (entry.tensor.trainable ? pruned.parameters : pruned.statistics).begin() + entry.offset);
    }

    std::vector<float> pixels(static_cast<std::size_t>(2 * element_count(input_shape<Wide>)));
    std::mt19937 random{3};
    for (float& pixel : pixels) pixel = std::uniform_real_distribution<float>{-1, 1}(random);
    const std::vector<float> before = logits<Wide>(weights, pixels);
    const std::vector<float> after = logits<Narrow>(pruned, pixels);
    BOOST_TEST(before == after, boost::test_tools::tolerance(1e-4F) << boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(the_smaller_network_is_printed_as_a_type) {
    const PrunableNetwork network = prunable_network<Wide>();
    const Weights weights = weights_with_dead_channels(network);
    const KeptChannels kept = choose_channels(network, weights.parameters, {.parameters = parameter_count<Narrow>});
    const std::vector<std::string> layers = pruned_layers(network, kept, "Classes");

    const PrunableNetwork narrow = prunable_network<Narrow>();
    KeptChannels all;
    for (const ChannelGroup& group : narrow.groups) all.emplace_back(group.channels);
    std::vector<std::string> expected = pruned_layers(narrow, all, "Classes");
    // The compiler leaves out default arguments here and not there.
    BOOST_TEST(layers[3].starts_with("DepthwiseSeparable<8, 2"));
    expected[3] = layers[3];
    BOOST_TEST(layers == expected, boost::test_tools::per_element());
    BOOST_TEST(layers.back().starts_with("Linear<Classes"));
    BOOST_TEST(layers[0] == "Conv2d<8, 3, 2, ConvOptions{.bias = false}>");
}

BOOST_AUTO_TEST_CASE(limits_that_cannot_be_met_are_refused) {
    const PrunableNetwork network = prunable_network<Wide>();
    const Weights weights = weights_with_dead_channels(network);
    const auto says = [](const char* words) {
        return [words](const Error& error) { return std::string{error.what()}.find(words) != std::string::npos; };
    };
    BOOST_CHECK_EXCEPTION(choose_channels(network, weights.parameters, {.parameters = 100}), Error,
                          says("begin with a narrower network"));
    BOOST_CHECK_EXCEPTION(choose_channels(network, weights.parameters, {.parameters = 100'000}), Error,
                          says("nothing needs to be removed"));
}

BOOST_AUTO_TEST_CASE(layers_that_mix_channels_by_position_keep_them) {
    using Shuffled =
        Network<Image<8, 8, 3>, Conv2d<8, 3>, BatchNorm2d, ChannelShuffle<2>, Conv2d<8, 3, 1, ConvOptions{.groups = 2}>,
                BatchNorm2d, ReLU, Conv2d<12, 1>, BatchNorm2d, Flatten, Linear<2>>;
    for (const ChannelGroup& group : prunable_network<Shuffled>().groups) BOOST_TEST(group.fixed);
}
