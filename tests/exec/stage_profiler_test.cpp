// SPDX-License-Identifier: MIT
// Laws of the profiler: it does not change the bits, has all layers, and counts no time twice.
#define BOOST_TEST_MODULE exec_stage_profiler
#include "cpu/compare_models.hpp"

#include <bantam/bantam.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <thread>
#include <vector>

using namespace bantam;

namespace {

using Small = Network<Image<10, 9, 3>, Conv2d<5, 3>, BatchNorm2d, SiLU, DepthwiseConv2d<3, 2>, BatchNorm2d,
                      Residual<PointwiseConv2d<5>, ReLU>, MaxPool2d<2>, GELU,
                      Concatenate<LayerNorm, DepthwiseConv2d<3>>, GlobalAveragePool, Linear<4>>;

constexpr std::int64_t count = 5;

/// The results of a forward and a backward pass.
struct Passes {
    std::vector<float> output, parameter_gradient, input_gradient;
    double seconds = 0;  // elapsed
};

template <bool Fused>
Passes run_passes(cpu::StageProfiler* profiler) {
    cpu::Model<Small, float, Fused> model;
    model.initialize(3);
    model.set_profiler(profiler);
    const std::vector<float> input = numbers<float>(count * model.input_elements, 1);
    const std::vector<float> output_gradient = numbers<float>(count * model.output_elements, 2);
    Passes result;
    result.output.resize(output_gradient.size());
    result.parameter_gradient.resize(model.parameters().size());
    result.input_gradient.resize(input.size());
    const auto begin = std::chrono::steady_clock::now();
    model.forward(input.data(), count, 7, result.output.data());
    model.backward(output_gradient.data(), result.parameter_gradient.data(), result.input_gradient.data());
    result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    return result;
}

bool same_bits(const Passes& a, const Passes& b) {
    return a.output == b.output && a.parameter_gradient == b.parameter_gradient && a.input_gradient == b.input_gradient;
}

double sum_of_seconds(const cpu::StageProfiler& profiler) {
    double sum = 0;
    for (const auto& entry : profiler.entries()) sum += entry.seconds;
    return sum;
}

int calls(const cpu::StageProfiler& profiler, std::string_view name, Shape input, bool backward) {
    int sum = 0;
    for (const auto& entry : profiler.entries())
        if (entry.label->name == name && entry.label->input == input && entry.label->backward == backward)
            sum += entry.calls;
    return sum;
}

void sleep_20_ms() { std::this_thread::sleep_for(std::chrono::milliseconds{20}); }

constexpr cpu::StageLabel outer{"outer", {1, 1, 1}, {1, 1, 1}};
constexpr cpu::StageLabel inner{"inner", {1, 1, 1}, {1, 1, 1}};
constexpr cpu::StageLabel innermost{"innermost", {1, 1, 1}, {1, 1, 1}};

}  // namespace

BOOST_AUTO_TEST_CASE(a_profiler_does_not_change_the_bits) {
    cpu::StageProfiler profiler;
    BOOST_TEST(same_bits(run_passes<true>(&profiler), run_passes<true>(nullptr)));
    BOOST_TEST(same_bits(run_passes<false>(&profiler), run_passes<false>(nullptr)));
}

BOOST_AUTO_TEST_CASE(every_layer_has_an_entry_in_both_directions) {
    cpu::StageProfiler profiler;
    run_passes<false>(&profiler);
    for (const LayerEntry& layer : layer_table<Small>)
        for (const bool backward : {false, true})
            BOOST_CHECK_MESSAGE(calls(profiler, layer.name, layer.input, backward) > 0,
                                layer.name << (backward ? " backward" : " forward"));
}

BOOST_AUTO_TEST_CASE(every_fused_convolution_has_an_entry) {
    cpu::StageProfiler profiler;
    run_passes<true>(&profiler);
    for (const bool backward : {false, true}) {
        BOOST_TEST(calls(profiler, Conv2d<5, 3>::name, {10, 9, 5}, backward) == 0);
        BOOST_TEST(calls(profiler, Conv2d<5, 3>::name, {10, 9, 3}, backward) > 0);
        BOOST_TEST(calls(profiler, DepthwiseConv2d<3>::name, {10, 9, 5}, backward) == 1);
        BOOST_TEST(calls(profiler, PointwiseConv2d<5>::name, {5, 5, 5}, backward) > 0);
        BOOST_TEST(calls(profiler, BatchNorm2d::name, {10, 9, 5}, backward) == 0);
        BOOST_TEST(calls(profiler, Linear<4>::name, {1, 1, 10}, backward) == 1);
    }
}

BOOST_AUTO_TEST_CASE(nested_stages_are_not_counted_twice) {
    for (const bool fused : {true, false}) {
        cpu::StageProfiler profiler;
        const Passes passes = fused ? run_passes<true>(&profiler) : run_passes<false>(&profiler);
        BOOST_TEST(sum_of_seconds(profiler) > 0.0);
        BOOST_TEST(sum_of_seconds(profiler) <= passes.seconds);
        for (const auto& entry : profiler.entries()) BOOST_TEST(entry.seconds >= 0.0);
    }
}

BOOST_AUTO_TEST_CASE(a_scope_counts_the_time_outside_its_inner_scopes) {
    using Scope = cpu::StageProfiler::Scope;
    cpu::StageProfiler profiler;
    const auto begin = std::chrono::steady_clock::now();
    {
        const Scope all{&profiler, outer};
        for (int i = 0; i < 2; ++i) {
            const Scope part{&profiler, inner};
            const Scope least{&profiler, innermost};
            sleep_20_ms();
        }
        sleep_20_ms();
    }
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    BOOST_TEST_REQUIRE(profiler.entries().size() == 3U);
    const auto entry_of = [&](const cpu::StageLabel& label) {
        return *std::find_if(profiler.entries().begin(), profiler.entries().end(),
                             [&](const auto& entry) { return entry.label == &label; });
    };
    BOOST_TEST(entry_of(outer).calls == 1);
    BOOST_TEST(entry_of(inner).calls == 2);
    BOOST_TEST(entry_of(innermost).calls == 2);
    BOOST_TEST(entry_of(outer).seconds >= 0.02);
    BOOST_TEST(entry_of(innermost).seconds >= 0.04);
    BOOST_TEST(entry_of(inner).seconds < entry_of(innermost).seconds);
    BOOST_TEST(sum_of_seconds(profiler) <= seconds);
}

BOOST_AUTO_TEST_CASE(a_profiler_can_be_cleared_and_unset) {
    cpu::StageProfiler profiler;
    run_passes<true>(&profiler);
    BOOST_TEST(!profiler.entries().empty());
    profiler.clear();
    BOOST_TEST(profiler.entries().empty());
    cpu::Model<Small, float> model;
    model.initialize(3);
    model.set_profiler(&profiler);
    model.set_profiler(nullptr);
    const std::vector<float> input = numbers<float>(model.input_elements, 1);
    std::vector<float> output(static_cast<std::size_t>(model.output_elements));
    model.forward(input.data(), 1, 7, output.data());
    BOOST_TEST(profiler.entries().empty());
}
