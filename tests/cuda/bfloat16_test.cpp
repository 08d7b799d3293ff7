// SPDX-License-Identifier: MIT
// Activations in bf16 give what floats give as far as 8 bits go; weights, statistics and the gradients of weights
// are not rounded.
#define BOOST_TEST_MODULE cuda_bfloat16
#include "cuda/compare_devices.hpp"

#include <bantam/bantam.hpp>
#include <bantam/models/mobile.hpp>
#include <bantam/models/tiniest.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>
#include <type_traits>
#include <vector>

using namespace bantam;
using bantam::cuda::Transposed;

namespace {

constexpr ConvOptions no_bias{.bias = false};

template <class L>
constexpr std::string_view name_of = "a sequence";
template <class L>
    requires requires { L::name; }
constexpr std::string_view name_of<L> = L::name;

float rounded(float value) { return float{Bfloat16{value}}; }
std::vector<float> rounded(std::vector<float> values) {
    for (float& value : values) value = rounded(value);
    return values;
}

std::vector<float> multiples(float unit, std::vector<float> values) {
    for (float& value : values) value = std::round(value / unit) * unit;
    return values;
}

/// The root of the mean square of the difference, relative to that of `b`.
double mean_difference(const std::vector<float>& a, const std::vector<float>& b) {
    if (a.size() != b.size()) return std::numeric_limits<double>::infinity();
    double difference = 0, size = 1e-12;
    for (std::size_t i = 0; i < a.size(); ++i) {
        const double here = static_cast<double>(a[i]) - static_cast<double>(b[i]);
        difference += here * here;
        size += static_cast<double>(b[i]) * static_cast<double>(b[i]);
    }
    return std::sqrt(difference / size);
}

/// How far bf16 may be from float: every rounding is off by 1/256 at most, and by a third of that or so on average.
struct Allowed {
    double outputs, gradients, statistics;
};

/// A network with bf16 on the device is near the CPU's in float, and gives the same bits each time.
template <class Net>
void near(std::int64_t count, const Allowed& allowed) {
    BOOST_TEST_CONTEXT("batch of " << count) {
        const Everything<float> found = run_on_device<Net, Bfloat16>(count);
        const Everything<float> expected = run<Net, float, true>(count, 1);
        BOOST_TEST(mean_difference(found.output, expected.output) <= allowed.outputs);
        BOOST_TEST(mean_difference(found.inferred, expected.inferred) <= allowed.outputs);
        BOOST_TEST(mean_difference(found.parameter_gradient, expected.parameter_gradient) <= allowed.gradients);
        BOOST_TEST(mean_difference(found.input_gradient, expected.input_gradient) <= allowed.gradients);
        BOOST_TEST(mean_difference(found.statistics, expected.statistics) <= allowed.statistics);
        BOOST_TEST((found == run_on_device<Net, Bfloat16>(count)), "a second run gives other bits");
    }
}

/// A layer rounds its input, its weights and its output, forward and backward: all errors together are below 1 % of
/// the largest value. A composite has `Deep` layers in a row.
template <class L, int Height, int Width, int Channels, int Deep = 1>
void layer_is_near() {
    for (const std::int64_t count : {1, 3, 18})
        BOOST_TEST_CONTEXT(name_of<L> << " on " << count << 'x' << Height << 'x' << Width << 'x' << Channels) {
            using Net = Network<Image<Height, Width, Channels>, L>;
            agree(run_on_device<Net, Bfloat16>(count), run<Net, float, true>(count, 1), 0.01 * Deep);
            near<Net>(count, {.outputs = 0.005 * Deep, .gradients = 0.006 * Deep, .statistics = 0.0005 * Deep});
        }
}

/// What a layer gives with bf16 and with float, of numbers that bf16 holds.
struct Both {
    Everything<float> narrow, wide;
};
template <class L, int Height, int Width, int Channels>
Both run_both(std::int64_t count = 3) {
    using Net = Network<Image<Height, Width, Channels>, L>;
    bantam::cuda::Model<Net, Bfloat16> narrow;
    bantam::cuda::Model<Net, float> wide;
    set_weights(narrow);
    set_weights(wide);
    const std::vector<float> input = rounded(numbers<float>(count * wide.input_elements, 1));
    const std::vector<float> output_gradient = rounded(numbers<float>(count * wide.output_elements, 2));
    return {run_batch(narrow, input, output_gradient), run_batch(wide, input, output_gradient)};
}

template <class L, int Height, int Width, int Channels>
void rounds_nothing_but_what_it_gives() {
    BOOST_TEST_CONTEXT(name_of<L>) {
        const Both both = run_both<L, Height, Width, Channels>();
        BOOST_TEST(both.narrow.output == rounded(both.wide.output));
        BOOST_TEST(both.narrow.input_gradient == rounded(both.wide.input_gradient));
    }
}
template <class L, int Height, int Width, int Channels>
void keeps_weights_in_float() {
    BOOST_TEST_CONTEXT(name_of<L>) {
        const Both both = run_both<L, Height, Width, Channels>();
        BOOST_TEST(largest_difference(both.narrow.parameter_gradient, both.wide.parameter_gradient) <= 1e-5);
        BOOST_TEST(largest_difference(both.narrow.statistics, both.wide.statistics) <= 1e-6);
        BOOST_TEST(largest_difference(both.narrow.output, both.wide.output) <= 1.01 / 256);
    }
}

/// A student whose activations have no edges.
using Smooth =
    Network<Image<32, 32, 3>, Conv2d<16, 3, 2, no_bias>, BatchNorm2d, SiLU, DepthwiseSeparable<32, 1, 3, SiLU>,
            DepthwiseSeparable<64, 2, 3, SiLU>, DepthwiseSeparable<64, 1, 3, SiLU>, DepthwiseSeparable<128, 2, 3, SiLU>,
            GlobalAveragePool, Linear<11>>;

}  // namespace

static_assert(std::is_same_v<bantam::cuda::Model<Network<Image<1, 1, 1>, ReLU>, Bfloat16>::ComputeType, float>);

BOOST_AUTO_TEST_CASE(inputs_are_rounded_to_bf16_and_nothing_else_where_a_layer_only_hands_on) {
    using Net = Network<Image<3, 5, 3>, Identity>;
    bantam::cuda::Model<Net, Bfloat16> model;
    const std::vector<float> input = numbers<float>(7 * 45, 1), gradient = numbers<float>(7 * 45, 2);
    const Everything<float> found = run_batch(model, input, gradient);
    BOOST_TEST(found.output == rounded(input));
    BOOST_TEST(found.inferred == rounded(input));
    BOOST_TEST(found.input_gradient == rounded(gradient));
    BOOST_TEST(found.output != input);
}

BOOST_AUTO_TEST_CASE(layers_that_choose_and_move_numbers_are_exact) {
    rounds_nothing_but_what_it_gives<ReLU, 3, 5, 3>();
    rounds_nothing_but_what_it_gives<Flatten, 3, 2, 4>();
    rounds_nothing_but_what_it_gives<MaxPool2d<2>, 5, 6, 3>();
    rounds_nothing_but_what_it_gives<MaxPool2d<3, 2, 1>, 7, 6, 5>();
    rounds_nothing_but_what_it_gives<MaxPool2d<7, 1, 3>, 9, 8, 3>();
}

// What a product takes is the weight's rounded copy; the sum is rounded once. Of multiples of a power of two every
// order gives the same sum.
BOOST_AUTO_TEST_CASE(products_round_the_weights_once) {
    using Net = Network<Image<1, 1, 19>, Linear<5, Bias::without>>;
    bantam::cuda::Model<Net, Bfloat16> narrow;
    bantam::cuda::Model<Net, float> wide;
    const std::vector<float> weights = multiples(1.0f / 1024, numbers<float>(19 * 5, 3)), of_copy = rounded(weights);
    narrow.set_weights(weights, {});
    wide.set_weights(of_copy, {});
    BOOST_TEST(narrow.read_parameters() == weights);
    const std::vector<float> input = multiples(1.0f / 64, numbers<float>(24 * 19, 1));
    const std::vector<float> output_gradient = multiples(1.0f / 64, numbers<float>(24 * 5, 2));
    const Everything<float> found = run_batch(narrow, input, output_gradient);
    const Everything<float> expected = run_batch(wide, input, output_gradient);
    BOOST_TEST(found.output == rounded(expected.output));
    BOOST_TEST(found.input_gradient == rounded(expected.input_gradient));
    BOOST_TEST(found.parameter_gradient == expected.parameter_gradient);
    BOOST_TEST(found.parameter_gradient != rounded(expected.parameter_gradient));
}

BOOST_AUTO_TEST_CASE(weights_statistics_and_their_gradients_stay_floats) {
    keeps_weights_in_float<DepthwiseConv2d<3>, 6, 5, 7>();
    keeps_weights_in_float<DepthwiseConv2d<3, 2, no_bias>, 7, 6, 17>();
    keeps_weights_in_float<DepthwiseConv2d<9, 1, no_bias>, 7, 6, 3>();
    keeps_weights_in_float<DepthwiseConv2d<1, 3>, 7, 8, 5>();
    keeps_weights_in_float<BatchNorm2d, 3, 3, 19>();
    keeps_weights_in_float<Sequence<BatchNorm2d, SiLU>, 5, 3, 3>();
    keeps_weights_in_float<LayerNorm, 3, 3, 5>();
}

BOOST_AUTO_TEST_CASE(products_of_bf16_are_summed_into_float_or_bf16) {
    const std::int64_t m = 5, n = 7, k = 40;
    const bantam::cuda::Execution execution;
    bantam::cuda::Pass<Bfloat16> pass;
    pass.execution = &execution;
    const std::vector<float> a = rounded(numbers<float>(m * k, 1)), b = rounded(numbers<float>(n * k, 2));
    const std::vector<float> before = rounded(numbers<float>(m * n, 3));
    const auto on_device = [&]<class S>(const std::vector<float>& from, S) {
        std::vector<S> values;
        for (const float value : from) values.push_back(S(value));
        bantam::cuda::DeviceBuffer<S> buffer;
        buffer.reserve(std::ssize(values));
        bantam::cuda::copy_to_device(execution, values.data(), std::ssize(values), buffer.data());
        return buffer;
    };
    const auto a_there = on_device(a, Bfloat16{}), b_there = on_device(b, Bfloat16{});
    const auto check = [&]<class S>(S, double tolerance) {
        auto c_there = on_device(before, S{});
        bantam::cuda::multiply<Bfloat16>(pass, m, n, k, {a_there.data(), k}, {b_there.data(), k, Transposed::yes},
                                         c_there.data(), n);
        std::vector<S> c(before.size());
        bantam::cuda::copy_to_host(execution, c_there.data(), std::ssize(c), c.data());
        for (std::size_t i = 0; i < c.size(); ++i) {
            double expected = 0;
            for (std::size_t t = 0; t < k; ++t)
                expected += static_cast<double>(a[i / n * k + t]) * static_cast<double>(b[i % n * k + t]);
            const double error = std::abs(static_cast<double>(float(c[i])) - expected);
            BOOST_TEST(error <= tolerance * std::max(1.0, std::abs(expected)));
        }
    };
    check(float{}, 1e-5);
    check(Bfloat16{}, 1.01 / 256);
}

// Whoever records passes finds those that round in between, too.
BOOST_AUTO_TEST_CASE(a_recorded_pass_gives_what_it_gives_at_once) {
    using Net = Network<Image<4, 3, 3>, Conv2d<5, 3>, BatchNorm2d, ReLU, GlobalAveragePool, Linear<3>>;
    bantam::cuda::Model<Net, Bfloat16> model;
    set_weights(model);
    const bantam::cuda::Execution& execution = model.execution();
    bantam::cuda::DeviceBuffer<float> input, output;
    input.reserve(2 * model.input_elements);
    output.reserve(2 * model.output_elements);
    model.reserve(2, false);
    const bantam::cuda::RecordedWork recorded{execution, [&] { model.infer(input.data(), 2, output.data()); }};
    const std::vector<float> batch = numbers<float>(2 * model.input_elements, 5);
    bantam::cuda::copy_to_device(execution, batch.data(), std::ssize(batch), input.data());
    recorded.replay(execution);
    std::vector<float> logits(2 * 3), expected(2 * 3);
    bantam::cuda::copy_to_host(execution, output.data(), output.size(), logits.data());
    model.infer(input.data(), 2, output.data());
    bantam::cuda::copy_to_host(execution, output.data(), output.size(), expected.data());
    BOOST_TEST(logits == expected);
}

// A float among bf16 must lie where a float may.
BOOST_AUTO_TEST_CASE(what_is_saved_in_float_lies_at_whole_floats) {
    using Layers = Sequence<AvgPool2d<2>, BatchNorm2d, SiLU, MaxPool2d<2>, SqueezeExcite<1>, LayerNorm>;
    using Narrow = bantam::cuda::Chain<Layers, Shape{5, 7, 3}, Bfloat16>;
    static_assert(Narrow::saved_per_sample(true) % 2 == 0 && Narrow::saved_per_sample(false) % 2 == 0);
    static_assert(Narrow::saved_fixed(true) % 2 == 0 && Narrow::saved_fixed(false) % 2 == 0);
    for (const std::int64_t count : {1, 2, 3})
        for (std::size_t stage = 0; stage < Narrow::size; ++stage)
            BOOST_TEST(Narrow::workspace.offset(Narrow::saved_region(stage), true, count) % 2 == 0);
}

BOOST_AUTO_TEST_CASE(activations_are_near) {
    layer_is_near<ReLU, 3, 5, 3>();
    layer_is_near<ReLU6, 3, 5, 3>();
    layer_is_near<LeakyReLU, 3, 5, 3>();
    layer_is_near<Sigmoid, 3, 5, 3>();
    layer_is_near<HardSigmoid, 3, 5, 3>();
    layer_is_near<SiLU, 3, 5, 3>();
    layer_is_near<HardSwish, 3, 5, 3>();
    layer_is_near<GELU, 3, 5, 3>();
    layer_is_near<TanhExp, 3, 5, 3>();
    layer_is_near<Gate<SiLU>, 2, 3, 34>();
    layer_is_near<TanhExpGate, 2, 3, 10>();
    layer_is_near<Dropout<30>, 5, 3, 5>();
}

BOOST_AUTO_TEST_CASE(convolutions_and_linear_layers_are_near) {
    layer_is_near<Conv2d<5, 3>, 6, 7, 3>();
    layer_is_near<Conv2d<5, 3, 2, no_bias>, 7, 6, 3>();
    layer_is_near<Conv2d<6, 3, 1, ConvOptions{.groups = 3}>, 5, 4, 6>();
    layer_is_near<Conv2d<3, 3, 1, ConvOptions{.padding = 0, .dilation = 2}>, 7, 9, 2>();
    layer_is_near<PointwiseConv2d<7>, 3, 5, 4>();
    layer_is_near<Linear<11>, 1, 1, 7>();
    layer_is_near<DepthwiseConv2d<3>, 5, 5, 5>();
    layer_is_near<DepthwiseConv2d<3, 2, no_bias>, 7, 6, 17>();
    layer_is_near<DepthwiseConv2d<7, 1, ConvOptions{.dilation = 3}>, 6, 5, 4>();
}

BOOST_AUTO_TEST_CASE(norms_and_pooling_are_near) {
    layer_is_near<BatchNorm2d, 5, 5, 3>();
    layer_is_near<BatchNorm2d, 3, 3, 19>();
    layer_is_near<LayerNorm, 3, 3, 5>();
    layer_is_near<LayerNorm, 1, 1, 20>();
    layer_is_near<AvgPool2d<3, 1, 1>, 4, 5, 3>();
    layer_is_near<AvgPool2d<2>, 5, 4, 3>();
    layer_is_near<GlobalAveragePool, 5, 4, 7>();
}

// With odd sizes, floats that an operation saves would not be aligned without the padding between regions.
BOOST_AUTO_TEST_CASE(composites_of_even_and_odd_sizes_are_near) {
    layer_is_near<Residual<Conv2d<3, 3>, BatchNorm2d, SiLU>, 5, 5, 3, 2>();
    layer_is_near<ProjectedResidual<PointwiseConv2d<5>, Conv2d<5, 3>, BatchNorm2d, Dropout<20>>, 3, 3, 3, 2>();
    layer_is_near<ScaledResidual<Scale::body, Conv2d<5, 3>, SiLU>, 3, 3, 5, 2>();
    layer_is_near<ScaledResidual<Scale::shortcut, PointwiseConv2d<5>, LayerNorm>, 3, 3, 5, 2>();
    layer_is_near<Concatenate<Conv2d<5, 3>, Sequence<DepthwiseConv2d<3>, BatchNorm2d>, LayerNorm>, 3, 3, 5, 2>();
    layer_is_near<SplitConcatenate<BatchNorm2d, LayerNorm, Sequence<PointwiseConv2d<5>, GELU>>, 3, 3, 15, 2>();
    layer_is_near<Add<Conv2d<3, 3>, Identity, Sequence<BatchNorm2d, SiLU>>, 3, 3, 3, 2>();
    layer_is_near<SqueezeExcite<4>, 4, 3, 8, 2>();
    layer_is_near<Sequence<SqueezeExcite<1>, BatchNorm2d>, 3, 3, 5, 2>();
    layer_is_near<Sequence<AvgPool2d<2>, BatchNorm2d, SiLU, PointwiseConv2d<3>, BatchNorm2d>, 5, 7, 3, 3>();
}

// Roundings add up from layer to layer, as noise does.
BOOST_AUTO_TEST_CASE(deep_networks_are_near) {
    for (const std::int64_t count : {1, 2})
        near<Tiniest97k<10>>(count, {.outputs = 0.02, .gradients = 0.06, .statistics = 0});
    near<Smooth>(5, {.outputs = 0.03, .gradients = 0.06, .statistics = 0.002});
}

// Where rounding moves a number over an activation's edge, what comes back is another number altogether. Batch
// norm puts many near the edge, so that gradients of a student with random weights agree in direction alone.
BOOST_AUTO_TEST_CASE(networks_with_edges_are_near_there_and_agree_in_direction_on_the_way_back) {
    near<Mobile98k<11, 32>>(5, {.outputs = 0.08, .gradients = 0.6, .statistics = 0.005});
    using Member = Network<Image<8, 8, 3>, Conv2d<4, 3, 2>, BatchNorm2d, ReLU, GlobalAveragePool, Linear<5>>;
    using Other = Network<Image<8, 8, 3>, DepthwiseSeparable<6>, Dropout<10>, GlobalAveragePool, Linear<5>>;
    for (const std::int64_t count : {2, 5})
        near<Ensemble<Member, Other>>(count, {.outputs = 0.01, .gradients = 0.06, .statistics = 0.0005});
}
