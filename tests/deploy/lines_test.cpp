// SPDX-License-Identifier: MIT
// A picture taken line by line gives the bits of whole maps, in a fraction of their memory, and so does a batch on
// several threads.
#define BOOST_TEST_MODULE deploy_lines
#include <boost/test/unit_test.hpp>

#include "deployed_nets.hpp"

#include <bantam/deploy/batch_classifier.hpp>
#include <bantam/deploy/line_classifier.hpp>
#include <bantam/models/inverted.hpp>
#include <bantam/models/residual.hpp>

#include <cstring>
#include <memory>
#include <vector>

using namespace deployed;

namespace {

template <class Net, class P>
void check_equal_bits(const deploy::Weights<Net, P>& weights) {
    const auto whole = std::make_unique<deploy::Classifier<Net, P>>(weights);
    const auto lines = std::make_unique<deploy::LineClassifier<Net, P>>(weights);
    constexpr auto line_elements = static_cast<std::size_t>(input_shape<Net>.width * input_shape<Net>.channels);
    // Several, since a stage must start again after each.
    for (std::uint64_t seed = 0; seed < 3; ++seed) {
        const std::vector<std::uint8_t> picture = random_picture<Net>(seed);
        const int expected = whole->classify(picture.data());
        // A picture that is given up leaves nothing to the next.
        for (Index y = 0; seed > 0 && y < input_shape<Net>.height / (static_cast<Index>(seed) + 1); ++y)
            BOOST_TEST(!lines->push_line(picture.data()));
        lines->restart();
        for (std::size_t y = 0; y < static_cast<std::size_t>(input_shape<Net>.height); ++y) {
            // The caller may reuse its line.
            std::vector<std::uint8_t> line(picture.begin() + static_cast<std::ptrdiff_t>(y * line_elements),
                                           picture.begin() + static_cast<std::ptrdiff_t>((y + 1) * line_elements));
            const bool done = lines->push_line(line.data());
            BOOST_TEST(done == (y + 1 == static_cast<std::size_t>(input_shape<Net>.height)));
        }
        BOOST_TEST(lines->predicted_class() == expected);
        BOOST_TEST(std::memcmp(lines->logits(), whole->logits(),
                               static_cast<std::size_t>(class_count<Net>) * sizeof(typename P::Logit)) == 0);
    }
}

template <class Net>
void check_float32() {
    cpu::Model<Net> model = random_model<Net>(7);
    check_equal_bits(*deploy::prepare_float32<Net>(model.parameters(), model.statistics()));
}

template <class Net>
void check_batches(const deploy::Weights<Net, deploy::Int8>& weights) {
    const auto whole = std::make_unique<deploy::Classifier<Net, deploy::Int8>>(weights);
    std::vector<std::uint8_t> pictures;
    std::vector<std::int32_t> expected;
    for (std::uint64_t seed = 0; seed < 5; ++seed) {
        const std::vector<std::uint8_t> picture = random_picture<Net>(seed);
        pictures.insert(pictures.end(), picture.begin(), picture.end());
        whole->classify(picture.data());
        expected.insert(expected.end(), whole->logits(), whole->logits() + class_count<Net>);
    }
    for (int threads = 1; threads <= 4; ++threads) {
        deploy::BatchClassifier<Net> batches{weights, threads};
        // Twice, since its memory must be as at the start after a call.
        for (int call = 0; call < 2; ++call) {
            std::vector<std::int32_t> logits(expected.size());
            batches.infer(pictures.data(), 5, logits.data());
            BOOST_TEST(logits == expected, boost::test_tools::per_element());
        }
    }
}

template <class Net>
void check_batches() {
    cpu::Model<Net> model = random_model<Net>(7);
    check_batches(*int8_weights<Net>(model, 2));
}

template <class Net>
void check_int8() {
    cpu::Model<Net> model = random_model<Net>(7);
    const auto weights = int8_weights<Net>(model, 2);
    check_equal_bits(*weights);
    check_batches(*weights);
}

/// Paths of which none is always the slowest, with lines that come several at a time.
using RacingPaths =
    Network<Image<13, 9, 3>,
            Concatenate<Sequence<Conv2d<4, 3, 1, ConvOptions{.padding = 2}>, MaxPool2d<3, 1>>,
                        Sequence<Conv2d<4, 5>, DepthwiseConv2d<7>>, Conv2d<2, 1>>,
            Add<Sequence<MaxPool2d<3, 1>, Conv2d<10, 3, 1, ConvOptions{.padding = 2}>>, DepthwiseConv2d<3>, Identity>,
            Flatten, BatchNorm2d, ReLU, Linear<4>>;

/// Windows of all kinds on odd shapes: strides, dilation, no padding, more channels than a block has, and a narrow map.
using WindowNet = Network<Image<27, 31, 4>, Conv2d<20, 5, 3>, ReLU,
                          Conv2d<37, 3, 1, ConvOptions{.padding = 2, .dilation = 2}>, DepthwiseConv2d<3, 2>, ReLU6,
                          PointwiseConv2d<70>, DepthwiseConv2d<3>, Conv2d<3, 2, 2, ConvOptions{.padding = 0}>,
                          Conv2d<18, 3>, ReLU, DepthwiseConv2d<3, 2>, Flatten, Conv2d<5, 1>, Linear<6>>;

}  // namespace

BOOST_AUTO_TEST_CASE(mobile_98k_gives_the_same_bits_in_int8) { check_int8<Mobile98k<11, 64>>(); }
BOOST_AUTO_TEST_CASE(mobile_98k_gives_the_same_bits_in_float) { check_float32<Mobile98k<11, 32>>(); }
BOOST_AUTO_TEST_CASE(sample_88k_gives_the_same_bits) { check_int8<Sample88k<11, 48>>(); }
BOOST_AUTO_TEST_CASE(tiniest_97k_gives_the_same_bits) { check_float32<Tiniest97k<10, 16>>(); }
BOOST_AUTO_TEST_CASE(residual_blocks_give_the_same_bits) { check_int8<ResidualNet>(); }
BOOST_AUTO_TEST_CASE(branches_give_the_same_bits) { check_int8<BranchingNet>(); }
BOOST_AUTO_TEST_CASE(paths_that_overtake_each_other_give_the_same_bits) {
    check_int8<RacingPaths>();
    check_float32<RacingPaths>();
}
BOOST_AUTO_TEST_CASE(layer_norms_give_the_same_bits) { check_float32<NormedNet>(); }
BOOST_AUTO_TEST_CASE(layer_norms_give_the_same_bits_in_int8) { check_int8<NormedNet>(); }
BOOST_AUTO_TEST_CASE(ensembles_give_the_same_bits) { check_int8<SmallEnsemble>(); }
BOOST_AUTO_TEST_CASE(networks_without_a_linear_layer_give_the_same_bits) { check_int8<PooledNet>(); }

BOOST_AUTO_TEST_CASE(windows_of_all_kinds_give_the_same_bits) { check_int8<WindowNet>(); }
BOOST_AUTO_TEST_CASE(channel_gates_give_the_same_bits_in_batches) { check_batches<GatedNet>(); }
BOOST_AUTO_TEST_CASE(shortcuts_give_the_same_bits_in_batches) { check_batches<ShortcutNet>(); }
BOOST_AUTO_TEST_CASE(high_resolution_98k_gives_the_same_bits_in_batches) { check_batches<HighResolution98k<11, 32>>(); }
BOOST_AUTO_TEST_CASE(inverted_99k_gives_the_same_bits_in_batches) { check_batches<Inverted99k<11, 32>>(); }

BOOST_AUTO_TEST_CASE(mobile_98k_takes_a_sixth_of_the_memory) {
    using Lines = deploy::LineClassifier<Mobile98k<11>, deploy::Int8>;
    using Whole = deploy::Classifier<Mobile98k<11>, deploy::Int8>;
    static_assert(Lines::arena_bytes <= 32 * 1024);
    static_assert(Whole::arena_bytes > 6 * Lines::arena_bytes);
    BOOST_TEST(sizeof(Lines) <= static_cast<std::size_t>(Lines::arena_bytes + 128));
    BOOST_TEST_MESSAGE("mobile-98k line by line: " << Lines::arena_bytes << " bytes");
}
