// SPDX-License-Identifier: MIT
// Deployed networks in int8: how near they come to float, the arithmetic to the bit, and what is refused.
#define BOOST_TEST_MODULE deploy_int8
#include <boost/test/unit_test.hpp>

#include "deployed_nets.hpp"

#include <bantam/deploy/host/lanes.hpp>
#include <bantam/quantize/quantized.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <string>
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

/// The logits in training for int8 are those of the device.
template <class Net>
void check_simulation() {
    const cpu::Model<Net> trained = random_model<Net>(7);
    const std::vector<float> ranges = calibrated_ranges(trained);
    const auto weights = deploy::prepare_int8<Net>(trained.parameters(), trained.statistics(), ranges);
    const auto classifier = std::make_unique<deploy::Classifier<Net, deploy::Int8>>(*weights);
    cpu::Model<Quantized<Net>> model;
    model.set_weights(trained.parameters(), quantized_statistics<Net>(trained.statistics(), ranges));
    for (std::uint64_t seed = 0; seed < 8; ++seed) {
        const std::vector<std::uint8_t> picture = random_picture<Net>(seed);
        std::vector<float> logits(static_cast<std::size_t>(class_count<Net>));
        model.infer(normalized<Net>(picture).data(), 1, logits.data());
        const auto largest = std::ranges::max_element(logits);
        BOOST_TEST(classifier->classify(picture.data()) == largest - logits.begin());
        // Where a sum is next to a half, float may round it to the neighboring element.
        const double bound = 0.02 * static_cast<double>(*largest - *std::ranges::min_element(logits));
        for (std::size_t i = 0; i < logits.size(); ++i)
            BOOST_TEST(std::abs(classifier->logits()[i] / 65536.0 - static_cast<double>(logits[i])) < bound);
    }
}

}  // namespace

BOOST_AUTO_TEST_CASE(training_for_int8_sees_the_devices_logits_of_branches) { check_simulation<BranchingNet>(); }
BOOST_AUTO_TEST_CASE(training_for_int8_sees_the_devices_logits_of_layer_norms) { check_simulation<NormedNet>(); }
BOOST_AUTO_TEST_CASE(training_for_int8_sees_the_devices_logits_of_separable_blocks) { check_simulation<GoldenNet>(); }

BOOST_AUTO_TEST_CASE(the_gradient_of_folded_weights_is_that_of_finite_differences) {
    const cpu::Model<BranchingNet> trained = random_model<BranchingNet>(7);
    const std::vector<double> statistics{trained.statistics().begin(), trained.statistics().end()};
    std::vector<double> parameters{trained.parameters().begin(), trained.parameters().end()};
    const quantize::SimulationPlan plan = quantize::simulation_plan<BranchingNet>(calibrated_ranges(trained));
    constexpr auto folded_count =
        static_cast<std::size_t>(trainable_parameters<quantize::SimulatedNetwork<BranchingNet>>);
    std::vector<double> slopes(folded_count), folded(folded_count);
    Random random{11, 1};
    for (double& slope : slopes) slope = random.uniform(-1.0, 1.0);
    const auto loss = [&] {
        quantize::fold_tensors(plan, parameters.data(), statistics.data(), folded.data());
        double sum = 0;
        for (std::size_t i = 0; i < folded_count; ++i) sum += slopes[i] * folded[i];
        return sum;
    };
    std::vector<double> gradient(parameters.size(), std::nan(""));
    quantize::fold_gradient(plan, parameters.data(), statistics.data(), slopes.data(), gradient.data());
    for (std::size_t i = 0; i < parameters.size(); ++i) {
        const double before = parameters[i];
        parameters[i] = before + 1e-5;
        const double above = loss();
        parameters[i] = before - 1e-5;
        const double slope = (above - loss()) / 2e-5;
        parameters[i] = before;
        BOOST_TEST(std::abs(slope - gradient[i]) < 1e-7 * (1 + std::abs(slope)));
    }
}

BOOST_AUTO_TEST_CASE(a_map_rounded_to_8_bits_has_the_slope_of_its_steps) {
    using Signed = cpu::Model<Network<Image<1, 7, 1>, FakeQuantize<std::int8_t>>, double>;
    using Unsigned = cpu::Model<Network<Image<1, 7, 1>, FakeQuantize<std::uint8_t>>, double>;
    const double step = 0.125;
    const std::vector<double> ones(7, 1.0);
    const auto check = [&](auto model, const std::vector<double>& x, const std::vector<double>& expected,
                           const std::vector<double>& slopes) {
        model.update([&](std::span<double>, std::span<double> scale) { scale[0] = step; });
        std::vector<double> y(7), gradient(7);
        model.forward(x.data(), 1, 0, y.data());
        BOOST_TEST(y == expected, boost::test_tools::per_element());
        model.backward(ones.data(), nullptr, gradient.data());
        BOOST_TEST(gradient == slopes, boost::test_tools::per_element());
        // One step more of the input is one step more of the output, or none where both saturate.
        std::vector<double> moved = x, other(7);
        for (std::size_t i = 0; i < 7; ++i) moved[i] += x[i] < 0 ? -step : step;
        model.forward(moved.data(), 1, 0, other.data());
        for (std::size_t i : {0U, 2U, 3U, 4U, 6U}) BOOST_TEST(std::abs(other[i] - y[i]) == slopes[i] * step);
    };
    check(Signed{}, {-20, -16.05, -0.07, 0.05, 3.19, 15.93, 17}, {-16, -16, -0.125, 0, 3.25, 15.875, 15.875},
          {0, 1, 1, 1, 1, 1, 0});
    check(Unsigned{}, {-3, -0.05, -0.5, 0.07, 3.19, 31.9, 32}, {0, 0, 0, 0.125, 3.25, 31.875, 31.875},
          {0, 0, 0, 1, 1, 1, 0});
}

BOOST_AUTO_TEST_CASE(ranges_of_another_network_are_refused) {
    const cpu::Model<PooledNet> trained = random_model<PooledNet>(7);
    const std::vector<float> ranges(deploy::map_count<PooledNet> + 1);
    BOOST_CHECK_EXCEPTION(quantized_statistics<PooledNet>(trained.statistics(), ranges), Error, [](const Error& error) {
        return std::string{error.what()} ==
               "the network has 4 maps, given are the ranges of 5; are they another network's?";
    });
}

BOOST_AUTO_TEST_CASE(layer_norms_and_shuffles_stay_near_float) { BOOST_TEST(relative_error<NormedNet>() < 0.1); }

BOOST_AUTO_TEST_CASE(an_integer_root_is_exact) {
    for (const std::uint64_t root : {0U, 1U, 2U, 46341U, 1073741824U, 4294967295U}) {
        BOOST_TEST(deploy::integer_root(root * root) == root);
        BOOST_TEST(deploy::integer_root(root * root + 2 * root) == root);
    }
}

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
void check_store_quad(bool small) {
    namespace host = deploy::host;
    Random random{11, small ? 1U : 2U};
    for (int round = 0; round < 500; ++round) {
        std::int32_t factors[host::lanes];
        std::int32_t scales[host::lanes];
        bool fast = true;
        host::Lanes sums[4] = {};
        for (int lane = 0; lane < host::lanes; ++lane) {
            const int shift = static_cast<int>(random.uniform(small ? 25.0 : 1.0, 54.9));
            factors[lane] =
                deploy::pack_factor(static_cast<std::int32_t>(random.uniform(-8388608.0, 8388607.9)), shift);
            const double range = small ? 16777216.0 : 2147483647.0;
            scales[lane] = host::fast_scale(factors[lane]);
            fast = fast && host::scales_fast(static_cast<std::int64_t>(range), factors[lane]);
            // Some sums whose result is near the map's range, some of all magnitudes.
            for (host::Lanes& sum : sums) {
                const double limit = std::min(range, std::ldexp(random.uniform(1.0, 100.0), shift % 28));
                sum[lane] = static_cast<std::uint32_t>(static_cast<std::int32_t>(random.uniform(-limit, limit)));
            }
        }
        std::uint8_t bytes[16 * host::lanes];
        if (small) BOOST_TEST(fast);
        host::store_quad<Out, words>(sums, {factors, scales, fast}, bytes);
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
    for (const bool small : {true, false}) {
        check_store_quad<std::uint8_t, Words::channels>(small);
        check_store_quad<std::uint8_t, Words::pixels>(small);
        check_store_quad<std::int8_t, Words::channels>(small);
        check_store_quad<std::int8_t, Words::pixels>(small);
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

BOOST_AUTO_TEST_CASE(numbers_that_no_weight_has_are_refused) {
    using Net = Network<Image<4, 4, 3>, Conv2d<2, 1>, BatchNorm2d, GlobalAveragePool>;
    const cpu::Model<Net> sound = random_model<Net>(7);
    const std::vector<float> ranges = calibrated_ranges(sound, 1);
    const auto refused = [&](const std::string& line, auto&& spoil) {
        cpu::Model<Net> model = random_model<Net>(7);
        std::vector<float> spoiled = ranges;
        spoil(model, spoiled);
        BOOST_CHECK_EXCEPTION(deploy::prepare_int8<Net>(model.parameters(), model.statistics(), spoiled), Error,
                              [&](const Error& error) { return std::string{error.what()}.starts_with(line); });
    };
    constexpr float nan = std::numeric_limits<float>::quiet_NaN();
    constexpr float infinity = std::numeric_limits<float>::infinity();
    refused("the network's tensor '0.weight' holds nan, which is not finite",
            [](auto& model, auto&) { model.parameters()[2] = nan; });
    refused("the network's tensor '1.running_mean' holds inf",
            [](auto& model, auto&) { model.statistics()[1] = infinity; });
    refused("the network's tensor '1.running_var' holds -0.500000, which is no variance",
            [](auto& model, auto&) { model.statistics()[3] = -0.5F; });
    refused("the range of a map is inf", [](auto&, auto& spoiled) { spoiled[1] = infinity; });
    refused("the range of a map is -1", [](auto&, auto& spoiled) { spoiled[1] = -1; });
    cpu::Model<Net> large = random_model<Net>(7);
    large.parameters()[0] = large.parameters()[8] = 1e30F;
    BOOST_CHECK_EXCEPTION(
        deploy::prepare_float32<Net>(large.parameters(), large.statistics()), Error,
        [](const Error& error) { return std::string{error.what()}.starts_with("a weight leaves the range of float"); });
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
