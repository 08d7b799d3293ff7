// SPDX-License-Identifier: MIT
// Deployed networks in int8: how near they come to float, the arithmetic to the bit, and what is refused.
#define BOOST_TEST_MODULE deploy_int8
#include <boost/test/unit_test.hpp>

#include "deployed_nets.hpp"

#include <bantam/deploy/host/lanes.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <vector>

using namespace deployed;

namespace {

/// The error of int8's logits as a share of the spread of float's, over some pictures.
template <class Net>
double relative_error() {
    cpu::Model<Net> model = random_model<Net>(7);
    const auto weights = int8_weights<Net>(model);
    const auto classifier = std::make_unique<deploy::Classifier<Net, deploy::Int8>>(*weights);
    double error = 0, spread = 0;
    for (std::uint64_t seed = 0; seed < 4; ++seed) {
        const std::vector<std::uint8_t> picture = random_picture<Net>(seed);
        const std::vector<float> input = normalized<Net>(picture);
        std::vector<float> expected(static_cast<std::size_t>(class_count<Net>));
        model.infer(input.data(), 1, expected.data());
        classifier->classify(picture.data());
        double mean = 0;
        for (const float logit : expected) mean += static_cast<double>(logit) / static_cast<double>(expected.size());
        for (std::size_t i = 0; i < expected.size(); ++i) {
            const double value = static_cast<double>(expected[i]);
            error += std::pow(classifier->logits()[i] / 65536.0 - value, 2);
            spread += std::pow(value - mean, 2);
        }
    }
    return std::sqrt(error / spread);
}

}  // namespace

BOOST_AUTO_TEST_CASE(mobile_98k_stays_near_float) { BOOST_TEST((relative_error<Mobile98k<11, 64>>()) < 0.1); }
BOOST_AUTO_TEST_CASE(sample_88k_stays_near_float) { BOOST_TEST((relative_error<Sample88k<11, 48>>()) < 0.1); }
BOOST_AUTO_TEST_CASE(residual_blocks_stay_near_float) { BOOST_TEST(relative_error<ResidualNet>() < 0.1); }
BOOST_AUTO_TEST_CASE(branches_gates_and_pools_stay_near_float) { BOOST_TEST(relative_error<BranchingNet>() < 0.1); }
BOOST_AUTO_TEST_CASE(channel_gates_stay_near_float) { BOOST_TEST(relative_error<GatedNet>() < 0.1); }
BOOST_AUTO_TEST_CASE(ensembles_stay_near_float) { BOOST_TEST(relative_error<SmallEnsemble>() < 0.1); }
BOOST_AUTO_TEST_CASE(networks_without_a_linear_layer_stay_near_float) { BOOST_TEST(relative_error<PooledNet>() < 0.1); }

BOOST_AUTO_TEST_CASE(a_factor_rounds_halves_up) {
    using deploy::pack_factor;
    using deploy::scale_by;
    constexpr std::int32_t half = pack_factor(1, 1);
    static_assert(scale_by(3, half) == 2);
    static_assert(scale_by(-3, half) == -1);
    static_assert(scale_by(-4, half) == -2);
    constexpr std::int32_t minus_three_eighths = pack_factor(-3, 3);
    static_assert(scale_by(4, minus_three_eighths) == -1);
    static_assert(scale_by(-4, minus_three_eighths) == 2);
    static_assert(scale_by(std::numeric_limits<std::int32_t>::max(), pack_factor(8388607, 23)) == 2147483391);
    static_assert(scale_by(std::numeric_limits<std::int32_t>::min(), pack_factor(8388607, 62)) == 0);
    BOOST_TEST(scale_by(1'000'000, deploy::detail::factor_of(0.001)) == 1000);
    BOOST_TEST(scale_by(100, deploy::detail::factor_of(-2.5)) == -250);
    BOOST_TEST(scale_by(100, deploy::detail::factor_of(1e-30)) == 0);
    BOOST_CHECK_THROW(deploy::detail::factor_of(1e12), Error);
}

template <class Out, deploy::host::Words words>
void check_store_quad(bool below_quarter) {
    namespace host = deploy::host;
    Random random{11, below_quarter ? 1U : 2U};
    for (int round = 0; round < 500; ++round) {
        std::int32_t factors[host::lanes];
        host::Lanes sums[4];
        for (int lane = 0; lane < host::lanes; ++lane) {
            const int shift = static_cast<int>(random.uniform(below_quarter ? 25.0 : 1.0, 54.9));
            factors[lane] =
                deploy::pack_factor(static_cast<std::int32_t>(random.uniform(-8388608.0, 8388607.9)), shift);
            // Some sums whose result is near the map's range, some of all magnitudes.
            for (host::Lanes& sum : sums) {
                const double limit = std::min(2147483647.0, std::ldexp(random.uniform(1.0, 100.0), shift % 28));
                sum[lane] = static_cast<std::uint32_t>(static_cast<std::int32_t>(random.uniform(-limit, limit)));
            }
        }
        std::uint8_t bytes[16 * host::lanes];
        host::store_quad<Out, words>(sums, {factors, below_quarter}, bytes);
        for (int lane = 0; lane < host::lanes; ++lane)
            for (int pixel = 0; pixel < 4; ++pixel) {
                const auto sum = static_cast<std::int32_t>(sums[pixel][lane]);
                const int stored = bytes[host::byte_in_quad(words, lane, pixel)] ^ host::stored_flip<Out>;
                BOOST_TEST(static_cast<Out>(stored) == deploy::saturate<Out>(deploy::scale_by(sum, factors[lane])));
            }
    }
}

BOOST_AUTO_TEST_CASE(vectors_of_sums_are_scaled_to_the_bit) {
    using deploy::host::Words;
    for (const bool below_quarter : {true, false}) {
        check_store_quad<std::uint8_t, Words::channels>(below_quarter);
        check_store_quad<std::uint8_t, Words::pixels>(below_quarter);
        check_store_quad<std::int8_t, Words::channels>(below_quarter);
        check_store_quad<std::int8_t, Words::pixels>(below_quarter);
    }
}

BOOST_AUTO_TEST_CASE(a_network_takes_a_byte_per_weight_and_eight_per_channel) {
    using Mobile = deploy::Classifier<Mobile98k<11>, deploy::Int8>;
    // The largest pair of maps, and two pixels' 16 inputs in 16 bits.
    static_assert(Mobile::arena_bytes == 64 * 64 * 16 + 64 * 64 * 32 + 64);
    // The first convolution sums 27 products, stored as 28; the constants of the pool and of the colors.
    static_assert(Mobile::weight_bytes == 95'371 - 2'784 - 11 + 16 + 8 * (1'392 + 11) + 4 * (1 + 6));
    BOOST_TEST(sizeof(Mobile) <= static_cast<std::size_t>(Mobile::arena_bytes + 256));
}

BOOST_AUTO_TEST_CASE(a_channel_whose_weights_vanish_keeps_its_bias) {
    using Net = Network<Image<4, 4, 3>, Conv2d<2, 1>, GlobalAveragePool>;
    cpu::Model<Net> model;
    model.initialize(1);
    std::ranges::fill(model.parameters(), 0.0F);
    model.parameters()[6] = 0.75F;
    model.parameters()[7] = -0.5F;
    const auto weights = int8_weights<Net>(model);
    deploy::Classifier<Net, deploy::Int8> classifier{*weights};
    BOOST_TEST(classifier.classify(random_picture<Net>(0).data()) == 0);
    BOOST_TEST(std::abs(classifier.logits()[0] / 65536.0 - 0.75) < 0.01);
    BOOST_TEST(std::abs(classifier.logits()[1] / 65536.0 + 0.5) < 0.01);
}

BOOST_AUTO_TEST_CASE(a_calibration_without_pictures_is_refused) {
    cpu::Model<PooledNet> model = random_model<PooledNet>(7);
    BOOST_CHECK_EXCEPTION(int8_weights(model, 0), Error, [](const Error& error) {
        return std::string{error.what()} ==
               "the calibration has seen no picture; show it a few hundred training pictures";
    });
}

BOOST_AUTO_TEST_CASE(a_share_below_one_leaves_out_the_largest_elements) {
    cpu::Model<PooledNet> model = random_model<PooledNet>(7);
    const auto weights = deploy::prepare_float32<PooledNet>(model.parameters(), model.statistics());
    deploy::Calibration<PooledNet> calibration{*weights};
    calibration.add(random_picture<PooledNet>(0).data());
    BOOST_TEST(calibration.picture_count() == 1);
    const std::vector<float> all = calibration.largest();
    const std::vector<float> most = calibration.largest(0.9);
    // The picture, two convolutions, the pool.
    BOOST_REQUIRE(all.size() == 4U);
    BOOST_TEST(most[1] < all[1]);
    BOOST_TEST(most[1] > 0);
    BOOST_CHECK_THROW(calibration.largest(0.2), Error);
}
