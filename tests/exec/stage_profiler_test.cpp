// SPDX-License-Identifier: MIT
// Laws of the clock: it changes no bit, misses no layer and counts no time twice.
#define BOOST_TEST_MODULE cpu_stage_clock
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

/// What a forward and a backward pass give.
struct Passes {
    std::vector<float> output, parameter_gradient, input_gradient;
    double seconds = 0;  // on the clock on the wall
};

template <bool Fused>
Passes run_passes(cpu::StageProfiler* clock) {
    cpu::Model<Small, float, Fused> model;
    model.initialize(3);
    model.set_profiler(clock);
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

double sum_of_seconds(const cpu::StageProfiler& clock) {
    double sum = 0;
    for (const auto& entry : clock.entries()) sum += entry.seconds;
    return sum;
}

int calls(const cpu::StageProfiler& clock, std::string_view name, Shape input, bool backward) {
    int sum = 0;
    for (const auto& entry : clock.entries())
        if (entry.label->name == name && entry.label->input == input && entry.label->backward == backward)
            sum += entry.calls;
    return sum;
}

void wait_a_while() { std::this_thread::sleep_for(std::chrono::milliseconds{20}); }

constexpr cpu::StageLabel outer{"outer", {1, 1, 1}, {1, 1, 1}};
constexpr cpu::StageLabel inner{"inner", {1, 1, 1}, {1, 1, 1}};
constexpr cpu::StageLabel innermost{"innermost", {1, 1, 1}, {1, 1, 1}};

}  // namespace

BOOST_AUTO_TEST_CASE(a_clock_changes_no_bit) {
    cpu::StageProfiler clock;
    BOOST_TEST(same_bits(run_passes<true>(&clock), run_passes<true>(nullptr)));
    BOOST_TEST(same_bits(run_passes<false>(&clock), run_passes<false>(nullptr)));
}

BOOST_AUTO_TEST_CASE(every_layer_has_an_entry_in_both_directions) {
    cpu::StageProfiler clock;
    run_passes<false>(&clock);
    for (const LayerEntry& layer : layer_table<Small>)
        for (const bool backward : {false, true})
            BOOST_CHECK_MESSAGE(calls(clock, layer.name, layer.input, backward) > 0,
                                layer.name << (backward ? " on the way back" : " on the way there"));
}

BOOST_AUTO_TEST_CASE(every_convolution_of_a_fused_run_has_its_own_entry) {
    cpu::StageProfiler clock;
    run_passes<true>(&clock);
    for (const bool backward : {false, true}) {
        BOOST_TEST(calls(clock, Conv2d<5, 3>::name, {10, 9, 5}, backward) == 0);
        BOOST_TEST(calls(clock, Conv2d<5, 3>::name, {10, 9, 3}, backward) > 0);
        BOOST_TEST(calls(clock, DepthwiseConv2d<3>::name, {10, 9, 5}, backward) == 1);
        BOOST_TEST(calls(clock, PointwiseConv2d<5>::name, {5, 5, 5}, backward) > 0);
        BOOST_TEST(calls(clock, BatchNorm2d::name, {10, 9, 5}, backward) == 0);
        BOOST_TEST(calls(clock, Linear<4>::name, {1, 1, 10}, backward) == 1);
    }
}

BOOST_AUTO_TEST_CASE(stages_inside_stages_do_not_count_twice) {
    for (const bool fused : {true, false}) {
        cpu::StageProfiler clock;
        const Passes passes = fused ? run_passes<true>(&clock) : run_passes<false>(&clock);
        BOOST_TEST(sum_of_seconds(clock) > 0.0);
        BOOST_TEST(sum_of_seconds(clock) <= passes.seconds);
        for (const auto& entry : clock.entries()) BOOST_TEST(entry.seconds >= 0.0);
    }
}

BOOST_AUTO_TEST_CASE(a_scope_counts_what_its_inner_scopes_do_not) {
    using Scope = cpu::StageProfiler::Scope;
    cpu::StageProfiler clock;
    const auto begin = std::chrono::steady_clock::now();
    {
        const Scope all{&clock, outer};
        for (int i = 0; i < 2; ++i) {
            const Scope part{&clock, inner};
            const Scope least{&clock, innermost};
            wait_a_while();
        }
        wait_a_while();
    }
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    BOOST_TEST_REQUIRE(clock.entries().size() == 3U);
    const auto entry_of = [&](const cpu::StageLabel& label) {
        return *std::find_if(clock.entries().begin(), clock.entries().end(),
                             [&](const auto& entry) { return entry.label == &label; });
    };
    BOOST_TEST(entry_of(outer).calls == 1);
    BOOST_TEST(entry_of(inner).calls == 2);
    BOOST_TEST(entry_of(innermost).calls == 2);
    BOOST_TEST(entry_of(outer).seconds >= 0.02);
    BOOST_TEST(entry_of(innermost).seconds >= 0.04);
    BOOST_TEST(entry_of(inner).seconds < entry_of(innermost).seconds);
    BOOST_TEST(sum_of_seconds(clock) <= seconds);
}

BOOST_AUTO_TEST_CASE(a_cleared_clock_starts_anew_and_an_unset_one_stands_still) {
    cpu::StageProfiler clock;
    run_passes<true>(&clock);
    BOOST_TEST(!clock.entries().empty());
    clock.clear();
    BOOST_TEST(clock.entries().empty());
    cpu::Model<Small, float> model;
    model.initialize(3);
    model.set_profiler(&clock);
    model.set_profiler(nullptr);
    const std::vector<float> input = numbers<float>(model.input_elements, 1);
    std::vector<float> output(static_cast<std::size_t>(model.output_elements));
    model.forward(input.data(), 1, 7, output.data());
    BOOST_TEST(clock.entries().empty());
}
