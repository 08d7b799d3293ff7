// SPDX-License-Identifier: MIT
// Each case of tests/layer_cases.hpp compared with PyTorch, whose results reference/make_layer_reference.py computed.
#define BOOST_TEST_MODULE cpu_parity
#include <boost/test/unit_test.hpp>

#include "layer_cases.hpp"

#include <bantam/bantam.hpp>
#include <bantam/io/safetensors.hpp>
#include <bantam/quantize/quantized.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <limits>
#include <set>
#include <span>
#include <string>
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

/// What a layer computes from a case's input and output gradient.
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
    BOOST_REQUIRE_EQUAL(input.size(), static_cast<std::size_t>(count * model.input_elements));
    BOOST_REQUIRE_EQUAL(output_gradient.size(), static_cast<std::size_t>(count * model.output_elements));

    // Results must be written, not added to; NaN shows where one relies on zeros in its buffer.
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

/// Compares `found` with `expected`, relative to the tensor's largest number.
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

/// Compares each parameter tensor by itself, so that the tolerance of a small gradient does not depend on a large one.
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
    // The first layer of a network computes no input gradient.
    const Results<S> again = run<Net, S>(name, training, threads, false);
    BOOST_CHECK_MESSAGE(again.parameter_gradient == results.parameter_gradient,
                        name << ": parameter gradients differ where no input gradient is computed");
}

template <class Test>
void for_each_case(const Test& test) {
    layer_cases::for_each_layer(test);
    layer_cases::for_each_block(test);
    layer_cases::for_each_network(test);
}

template <class S>
void all_agree(int threads, double tolerance) {
    for_each_case([=]<class L, Shape Input>(const layer_cases::Case<L, Input>& test) {
        using Net = Network<Image<Input.height, Input.width, Input.channels>, L>;
        agree<Net, S>(std::string{test.name}, test.mode == layer_cases::Mode::training, threads, tolerance);
    });
}

}  // namespace

BOOST_AUTO_TEST_CASE(double_equals_pytorch) { all_agree<double>(1, 1e-9); }

BOOST_AUTO_TEST_CASE(float_is_close_to_pytorch) { all_agree<float>(2, 1e-4); }

BOOST_AUTO_TEST_CASE(training_for_int8_equals_pytorchs_fake_quantization) {
    using Net = Network<Image<9, 8, 3>, Conv2d<8, 3, 2, layer_cases::no_bias>, BatchNorm2d, ReLU6,
                        DepthwiseConv2d<3, 1, layer_cases::no_bias>, BatchNorm2d,
                        Conv2d<12, 1, 1, layer_cases::no_bias>, BatchNorm2d, ReLU, GlobalAveragePool, Linear<5>>;
    const std::vector<double> input = stored("quantized.input");
    std::vector<double> statistics = stored_flat("quantized.statistic.");
    for (const double range : stored("quantized.ranges")) statistics.push_back(range);
    cpu::Model<Quantized<Net>, double> model;
    model.set_weights(stored_flat("quantized.parameter."), statistics);
    std::vector<double> output(15), input_gradient(input.size()), gradient(model.parameters().size());
    model.forward(input.data(), 3, 0, output.data());
    check_close("quantized.output", output, stored("quantized.output"), 1e-6);
    model.backward(stored("quantized.grad_output").data(), gradient.data(), input_gradient.data());
    check_close("quantized.grad_input", input_gradient, stored("quantized.grad_input"), 1e-6);
    check_gradients("quantized", gradient, 1e-6);
    // A part of the gradients is that of elements outside their range.
    BOOST_TEST(std::ranges::count(input_gradient, 0.0) > 0);
}

BOOST_AUTO_TEST_CASE(every_case_of_the_reference_is_tested) {
    std::set<std::string> stored_cases, tested{"quantized"};
    for (const auto& [key, text] : reference().metadata())
        if (key != "format") stored_cases.insert(key);
    for_each_case([&](const auto& test) { tested.emplace(test.name); });
    BOOST_TEST(stored_cases == tested, boost::test_tools::per_element());
}
