// SPDX-License-Identifier: MIT
// Deployed networks in float answer as the network on the CPU does.
#define BOOST_TEST_MODULE deploy_float32
#include <boost/test/unit_test.hpp>

#include "deployed_nets.hpp"

#include <bantam/deploy/fold.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <memory>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

using namespace deployed;

namespace {

template <class Net>
void check_equal_logits() {
    cpu::Model<Net> model = random_model<Net>(7);
    const auto weights = deploy::prepare_float32<Net>(model.parameters(), model.statistics());
    const auto classifier = std::make_unique<deploy::Classifier<Net, deploy::Float32>>(*weights);
    for (std::uint64_t seed = 0; seed < 3; ++seed) {
        const std::vector<std::uint8_t> picture = random_picture<Net>(seed);
        const std::vector<float> input = normalized<Net>(picture);
        std::vector<float> expected(static_cast<std::size_t>(class_count<Net>));
        model.infer(input.data(), 1, expected.data());
        const int found = classifier->classify(picture.data());
        float largest = 1;
        for (const float logit : expected) largest = std::max(largest, std::abs(logit));
        for (std::size_t i = 0; i < expected.size(); ++i)
            BOOST_TEST(std::abs(classifier->logits()[i] - expected[i]) <= 1e-4F * largest,
                       "logit " << i << " is " << classifier->logits()[i] << ", expected " << expected[i]);
        BOOST_TEST(found == std::max_element(expected.begin(), expected.end()) - expected.begin());
    }
}

}  // namespace

BOOST_AUTO_TEST_CASE(mobile_98k_gives_the_logits_of_the_cpu) { check_equal_logits<Mobile98k<11, 64>>(); }
BOOST_AUTO_TEST_CASE(tiniest_97k_gives_the_logits_of_the_cpu) { check_equal_logits<Tiniest97k<10, 16>>(); }
BOOST_AUTO_TEST_CASE(sample_88k_gives_the_logits_of_the_cpu) { check_equal_logits<Sample88k<11, 48>>(); }
BOOST_AUTO_TEST_CASE(residual_blocks_of_every_kind_give_the_logits_of_the_cpu) { check_equal_logits<ResidualNet>(); }
BOOST_AUTO_TEST_CASE(branches_gates_and_pools_give_the_logits_of_the_cpu) { check_equal_logits<BranchingNet>(); }
BOOST_AUTO_TEST_CASE(channel_gates_give_the_logits_of_the_cpu) { check_equal_logits<GatedNet>(); }
BOOST_AUTO_TEST_CASE(layer_norms_give_the_logits_of_the_cpu) { check_equal_logits<NormedNet>(); }
BOOST_AUTO_TEST_CASE(ensembles_give_the_logits_of_the_cpu) { check_equal_logits<SmallEnsemble>(); }
BOOST_AUTO_TEST_CASE(a_network_without_a_linear_layer_gives_the_logits_of_the_cpu) { check_equal_logits<PooledNet>(); }

BOOST_AUTO_TEST_CASE(sizes_are_known_at_compile_time) {
    using Mobile = deploy::Classifier<Mobile98k<11>, deploy::Float32>;
    static_assert(Mobile::multiply_adds == multiply_adds<Mobile98k<11>>);
    // The largest map and the one before it: 64×64×16 and 64×64×32 floats.
    static_assert(Mobile::arena_bytes == 4 * (64 * 64 * 16 + 64 * 64 * 32));
    // Weights without norms, a bias per channel, a factor and a summand per color.
    static_assert(Mobile::weight_bytes == 4 * (95'371 - 2'784 - 11 + 1'392 + 11 + 6));
    BOOST_TEST(sizeof(Mobile) <= static_cast<std::size_t>(Mobile::arena_bytes + 256));
}

BOOST_AUTO_TEST_CASE(tensors_of_another_network_are_refused) {
    const std::vector<float> few(10);
    BOOST_CHECK_EXCEPTION(deploy::prepare_float32<PooledNet>(few, {}), Error, [](const Error& error) {
        return std::string{error.what()}.find("given are 10 and 0; are they another network's?") != std::string::npos;
    });
}

namespace {

/// Branches of all kinds that are folded, and what they are folded into.
using Branched = Network<
    Image<12, 11, 3>, RepConv2d<8, 3, 2>, ReLU, RepConv2d<8>, ReLU, Residual<RepDepthwiseConv2d<5>, PointwiseConv2d<8>>,
    Named<"mixed",
          FoldableAdd<Conv2d<8, Size2d{1, 3}, 1, ConvOptions{.groups = 2}>,
                      Sequence<Conv2d<8, Size2d{3, 1}, 1, ConvOptions{.groups = 2, .bias = false}>, BatchNorm2d>,
                      Identity>>,
    Repeat<2, Sequence<RepDepthwiseConv2d<3, 1>, BatchNorm2d>>, GlobalAveragePool, Linear<5>>;
using Folded =
    Network<Image<12, 11, 3>, Conv2d<8, 3, 2>, ReLU, Conv2d<8, 3>, ReLU,
            Residual<DepthwiseConv2d<5>, PointwiseConv2d<8>>, Named<"mixed", Conv2d<8, 3, 1, ConvOptions{.groups = 2}>>,
            Repeat<2, Sequence<DepthwiseConv2d<3>, BatchNorm2d>>, GlobalAveragePool, Linear<5>>;

static_assert(std::is_same_v<Deployed<Branched>, Folded>);
static_assert(std::is_same_v<Deployed<Folded>, Folded>);
static_assert(deployed_parameter_count<Branched> == parameter_count<Folded>);
static_assert(parameter_count<Branched> > parameter_count<Folded>);
template <class... Paths>
inline constexpr bool folds = FoldableAdd<Paths...>::argument_error().empty();
static_assert(folds<Conv2d<8, 3>, Conv2d<8, 1>> && folds<Identity, DepthwiseConv2d<3>>);
static_assert(!folds<Conv2d<8, 3>, ReLU> && !folds<Identity, BatchNorm2d> && !folds<Conv2d<8, 3, 2>, Identity>);
static_assert(!folds<Conv2d<8, 3, 1, ConvOptions{.dilation = 2}>, Identity> && !folds<Conv2d<8, 3>, Conv2d<4, 3>>);
static_assert(!folds<Conv2d<8, 3>, DepthwiseConv2d<3>>);
// Uneven windows whose sum is one convolution, and some whose sum is none.
using Uneven = FoldableAdd<Conv2d<8, 4, 1, ConvOptions{.padding = 1}>, Conv2d<8, 2, 1, ConvOptions{.padding = 0}>>;
static_assert(std::is_same_v<Uneven::Deployed, Conv2d<8, 4, 1, ConvOptions{.padding = 1}>>);
static_assert(!Uneven::misfit(Shape{6, 6, 3}));

// The deployed network keeps to the limit.
static_assert(sizeof(Student<Branched, parameter_count<Folded>>) > 0);

}  // namespace

BOOST_AUTO_TEST_CASE(folded_branches_give_the_logits_of_the_trained_ones) {
    const cpu::Model<Branched> trained = random_model<Branched>(3);
    const deploy::NetworkTensors tensors = deploy::fold_tensors<Branched>(trained.parameters(), trained.statistics());
    cpu::Model<Folded> folded;
    BOOST_REQUIRE_EQUAL(tensors.parameters.size(), folded.parameters().size());
    BOOST_REQUIRE_EQUAL(tensors.statistics.size(), folded.statistics().size());
    folded.update([&](std::span<float> parameters, std::span<float> statistics) {
        std::copy(tensors.parameters.begin(), tensors.parameters.end(), parameters.begin());
        std::copy(tensors.statistics.begin(), tensors.statistics.end(), statistics.begin());
    });
    const std::vector<float> pixels = normalized<Branched>(random_picture<Branched>(4));
    std::vector<float> expected(5), logits(5);
    trained.infer(pixels.data(), 1, expected.data());
    folded.infer(pixels.data(), 1, logits.data());
    const auto [low, high] = std::minmax_element(expected.begin(), expected.end());
    BOOST_TEST(*high - *low > 0.1F);
    for (std::size_t i = 0; i < logits.size(); ++i) BOOST_TEST(std::abs(logits[i] - expected[i]) < 1e-4F);

    const deploy::NetworkTensors again = deploy::fold_tensors<Folded>(tensors.parameters, tensors.statistics);
    BOOST_TEST((again.parameters == tensors.parameters && again.statistics == tensors.statistics));

    BOOST_TEST(std::string_view{summary<Branched>()}.find("Params when deployed, with folded branches: ") !=
               std::string_view::npos);
    BOOST_CHECK_THROW(deploy::fold_tensors<Branched>(trained.parameters(), {}), Error);
}
