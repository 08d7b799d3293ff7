// SPDX-License-Identifier: MIT
// Every layer against PyTorch: tests/reference/make_layer_reference.py says how the numbers were made.
#define BOOST_TEST_MODULE cpu_parity
#include <boost/test/unit_test.hpp>

#include <bantam/bantam.hpp>
#include <bantam/io/safetensors.hpp>
#include <bantam/models/tiniest.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <limits>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace bantam;

SafetensorsFile& reference() {
    static SafetensorsFile file =
        SafetensorsFile::open(std::filesystem::path{BANTAM_TESTS_DIR} / "reference" / "layers.safetensors");
    return file;
}

std::vector<double> stored(const std::string& name) { return reference().tensor<double>(name); }

/// The tensors `prefix`0, `prefix`1, … of a case, one after the other: a flat buffer.
std::vector<double> stored_flat(const std::string& prefix) {
    std::vector<double> flat;
    for (int k = 0; reference().contains(prefix + std::to_string(k)); ++k)
        for (const double value : stored(prefix + std::to_string(k))) flat.push_back(value);
    return flat;
}

template <class S>
std::vector<S> as(const std::vector<double>& values) {
    return {values.begin(), values.end()};
}

/// What a layer gives for a case's input and output gradient.
template <class S>
struct Results {
    std::vector<S> output, input_gradient, parameter_gradient, statistics;
};

template <class Net, class S>
Results<S> run(const std::string& name, bool training, int threads, bool wants_input_gradient) {
    const auto count = reference().entry(name + ".input").shape[0];
    const std::vector<S> input = as<S>(stored(name + ".input"));
    const std::vector<S> output_gradient = as<S>(stored(name + ".grad_output"));
    cpu::Model<Net, S> model{threads};
    const auto fill = [](std::span<S> target, const std::vector<double>& values) {
        BOOST_REQUIRE_EQUAL(target.size(), values.size());
        std::transform(values.begin(), values.end(), target.begin(),
                       [](double value) { return static_cast<S>(value); });
    };
    fill(model.parameters(), stored_flat(name + ".parameter."));
    fill(model.statistics(), stored_flat(name + ".statistic."));
    model.prepare();
    BOOST_REQUIRE_EQUAL(input.size(), static_cast<std::size_t>(count * model.input_elements));
    BOOST_REQUIRE_EQUAL(output_gradient.size(), static_cast<std::size_t>(count * model.output_elements));

    // Results must be written, not added to: nothing may rest on a buffer that happens to be zero.
    const S unset = std::numeric_limits<S>::quiet_NaN();
    Results<S> results;
    results.output.assign(output_gradient.size(), unset);
    if (training) {
        results.input_gradient.assign(wants_input_gradient ? input.size() : 0, unset);
        results.parameter_gradient.assign(model.parameters().size(), unset);
        model.forward(input.data(), count, 0, results.output.data());
        model.backward(output_gradient.data(), results.parameter_gradient.data(),
                       wants_input_gradient ? results.input_gradient.data() : nullptr);
    } else {
        model.infer(input.data(), count, results.output.data());
    }
    results.statistics.assign(model.statistics().begin(), model.statistics().end());
    return results;
}

/// Compares relative to the largest number of the expected tensor.
template <class S>
void check_close(const std::string& what, const std::vector<S>& found, const std::vector<double>& expected,
                 double tolerance) {
    BOOST_REQUIRE_EQUAL(found.size(), expected.size());
    double largest = 0;
    for (const double value : expected) largest = std::max(largest, std::abs(value));
    std::size_t worst = 0;
    double worst_error = -1;
    for (std::size_t i = 0; i < found.size(); ++i) {
        const double error = std::abs(static_cast<double>(found[i]) - expected[i]);
        if (error > worst_error || std::isnan(error)) {
            worst = i;
            worst_error = error;
            if (std::isnan(error)) break;
        }
    }
    if (found.empty()) return;
    BOOST_CHECK_MESSAGE(worst_error <= tolerance * largest, what << ": element " << worst << " is " << found[worst]
                                                                 << ", expected " << expected[worst] << " (largest "
                                                                 << largest << ")");
}

/// Each parameter tensor by itself, so that a small gradient is not measured by a large one.
template <class S>
void check_gradients(const std::string& name, const std::vector<S>& found, double tolerance) {
    auto next = found.begin();
    for (int k = 0; reference().contains(name + ".grad_parameter." + std::to_string(k)); ++k) {
        const std::string tensor = name + ".grad_parameter." + std::to_string(k);
        const std::vector<double> expected = stored(tensor);
        const auto end = next + static_cast<std::ptrdiff_t>(expected.size());
        check_close(tensor, std::vector<S>(next, end), expected, tolerance);
        next = end;
    }
    BOOST_CHECK(next == found.end());
}

template <class Net, class S>
void agree(const std::string& name, bool training, int threads, double tolerance) {
    const Results<S> results = run<Net, S>(name, training, threads, true);
    check_close(name + ".output", results.output, stored(name + ".output"), tolerance);
    check_close(name + ".statistic_after", results.statistics, stored_flat(name + ".statistic_after."), tolerance);
    if (!training) return;
    check_close(name + ".grad_input", results.input_gradient, stored(name + ".grad_input"), tolerance);
    check_gradients(name, results.parameter_gradient, tolerance);
    // The first layer of a network is not asked for its input's gradient.
    const Results<S> again = run<Net, S>(name, training, threads, false);
    BOOST_CHECK_MESSAGE(again.parameter_gradient == results.parameter_gradient,
                        name << ": parameter gradients change when nobody wants the input's");
}

struct Case {
    std::string_view name;
    void (*in_double)(const std::string&, bool, int, double);
    void (*in_float)(const std::string&, bool, int, double);
    bool training = true;
};

template <class Input, class... Layers>
constexpr Case layer(std::string_view name, bool training = true) {
    using Net = Network<Input, Layers...>;
    return {name, agree<Net, double>, agree<Net, float>, training};
}

template <int Channels>
using Map = Image<7, 6, Channels>;
template <int Channels>
using SmallMap = Image<5, 4, Channels>;
template <int Channels>
using OnePixel = Image<1, 1, Channels>;

constexpr ConvOptions no_bias{.bias = false};

using Body = Sequence<BatchNorm2d, ReLU, PointwiseConv2d<4, no_bias>>;
using QuarterMixer = SplitConcatenate<Identity, DepthwiseConv2d<3>, DepthwiseConv2d<7>,
                                      Sequence<AvgPool2d<3, 1, 1>, DepthwiseConv2d<7, 1, ConvOptions{.dilation = 3}>>>;

const std::array cases{
    layer<Map<3>, Conv2d<4, 3>>("conv_3x3_bias"),
    layer<Map<3>, Conv2d<4, 3, 2, no_bias>>("conv_3x3_stride2"),
    layer<Map<3>, Conv2d<4, 5, 1, ConvOptions{.padding = 1, .bias = false}>>("conv_5x5_padding1"),
    layer<Map<3>, Conv2d<4, 3, 1, ConvOptions{.dilation = 2, .bias = false}>>("conv_3x3_dilation2"),
    layer<Map<4>, Conv2d<6, 3, 1, ConvOptions{.groups = 2, .bias = false}>>("conv_groups2"),
    layer<Map<8>, Conv2d<12, 4, 2, ConvOptions{.padding = 1, .groups = 4}>>("conv_4x4_stride2_groups4_padding1"),
    layer<Map<3>, Conv2d<4, 3, 1, ConvOptions{.padding = 0, .bias = false}>>("conv_3x3_valid_no_bias"),
    layer<Map<3>, Conv2d<4, 7, 2, no_bias>>("conv_7x7_stride2"),
    layer<Map<5>, DepthwiseConv2d<3, 1, no_bias>>("depthwise_3x3"),
    layer<Map<5>, DepthwiseConv2d<3, 2>>("depthwise_3x3_stride2_bias"),
    layer<Map<3>, DepthwiseConv2d<7, 1, ConvOptions{.dilation = 3}>>("depthwise_7x7_dilation3_bias"),
    layer<Map<5>, PointwiseConv2d<7>>("pointwise_bias"),
    layer<Map<5>, PointwiseConv2d<7, no_bias>>("pointwise_no_bias"),
    layer<Map<4>, DepthwiseSeparable<6, 2>>("depthwise_separable_stride2"),
    layer<Map<4>, InvertedResidual<4, 1, 4>>("inverted_residual"),
    layer<Map<4>, InvertedResidual<6, 2, 4>>("inverted_residual_stride2"),
    layer<Map<5>, BatchNorm2d>("batch_norm_train"),
    layer<Map<5>, BatchNorm2d>("batch_norm_eval", false),
    layer<Map<5>, LayerNorm>("layer_norm_channels"),
    layer<SmallMap<3>, ReLU>("relu"),
    layer<SmallMap<3>, ReLU6>("relu6"),
    layer<SmallMap<3>, LeakyReLU>("leaky_relu"),
    layer<SmallMap<3>, SiLU>("silu"),
    layer<SmallMap<3>, HardSwish>("hard_swish"),
    layer<SmallMap<3>, GELU>("gelu"),
    layer<SmallMap<3>, TanhExp>("tanh_exp"),
    layer<SmallMap<6>, TanhExpGate>("tanh_exp_gate"),
    layer<SmallMap<3>, Sigmoid>("sigmoid"),
    layer<SmallMap<3>, HardSigmoid>("hard_sigmoid"),
    layer<Map<3>, MaxPool2d<2>>("max_pool_2"),
    layer<Map<3>, MaxPool2d<3, 2, 1>>("max_pool_3_stride2_padding1"),
    layer<Map<3>, AvgPool2d<2>>("avg_pool_2"),
    layer<Map<3>, AvgPool2d<3, 1, 1>>("avg_pool_3_stride1_padding1"),
    layer<Map<3>, GlobalAveragePool>("global_average_pool"),
    layer<OnePixel<7>, Linear<5>>("linear_bias"),
    layer<OnePixel<7>, Linear<5, Bias::without>>("linear_no_bias"),
    layer<Map<4>, Residual<Body>>("residual_plain"),
    layer<Map<4>, ProjectedResidual<Sequence<Conv2d<6, 1, 2, no_bias>, BatchNorm2d>, Conv2d<6, 3, 2, no_bias>,
                                    BatchNorm2d, ReLU, Conv2d<6, 3, 1, no_bias>, BatchNorm2d>>("residual_projection"),
    layer<Map<4>, ScaledResidual<Scale::body, Body>>("residual_scaled_body"),
    layer<Map<4>, ScaledResidual<Scale::shortcut, Body>>("residual_scaled_shortcut"),
    layer<Map<3>, Concatenate<PointwiseConv2d<4>, DepthwiseConv2d<3>>>("branches_concatenate"),
    layer<Map<3>, Add<PointwiseConv2d<3>, DepthwiseConv2d<3>>>("branches_add"),
    layer<Map<8>, QuarterMixer>("branches_split4"),
    layer<Map<8>, SqueezeExcite<4>>("squeeze_excite"),
    layer<Map<8>, TiniestBlock<8>>("tiniest_block"),
    layer<Image<32, 32, 3>, Conv2d<8, 3, 2, no_bias>, BatchNorm2d, ReLU6, DepthwiseSeparable<16>,
          DepthwiseSeparable<24, 2>, DepthwiseSeparable<24>, DepthwiseSeparable<32, 2>, GlobalAveragePool, Linear<11>>(
        "mobile_tiny"),
};

}  // namespace

BOOST_AUTO_TEST_CASE(outputs_gradients_and_statistics_equal_pytorchs_in_double) {
    for (const Case& test : cases) test.in_double(std::string{test.name}, test.training, 1, 1e-9);
}

BOOST_AUTO_TEST_CASE(outputs_gradients_and_statistics_are_close_to_pytorchs_in_float) {
    for (const Case& test : cases) test.in_float(std::string{test.name}, test.training, 2, 1e-4);
}

BOOST_AUTO_TEST_CASE(every_case_of_the_reference_is_tested) {
    std::set<std::string> named, tested;
    for (const auto& [key, text] : reference().metadata())
        if (key != "format") named.insert(key);
    for (const Case& test : cases) tested.emplace(test.name);
    BOOST_TEST(named == tested, boost::test_tools::per_element());
}
