// SPDX-License-Identifier: MIT
#define BOOST_TEST_MODULE optimizer
#include <boost/test/unit_test.hpp>

#include "bantam/base/random.hpp"
#include "bantam/train/averaging.hpp"
#include "bantam/train/clipping.hpp"
#include "bantam/train/optimizers/optimizer.hpp"
#include "reference/training_reference.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace reference = training_reference;
using bantam::OptimizerKind;
using bantam::ParameterRange;

namespace {

constexpr std::size_t count = reference::decayed + reference::plain;

const std::vector<ParameterRange> ranges{
    {0, 3, true}, {3, reference::decayed, true}, {reference::decayed, count, false}};

template <class Scalar, class Table>
std::vector<Scalar> as(const Table& table) {
    std::vector<Scalar> values;
    for (const double value : table) values.push_back(static_cast<Scalar>(value));
    return values;
}

// Runs the reference's eight clipped steps and compares parameters and averages after each.
template <class Scalar, class Rule, class Path>
void check_trajectory(Rule optimizer, const Path& path, const Path& averages, double tolerance) {
    auto parameters = as<Scalar>(reference::start);
    const auto gradients = as<Scalar>(reference::gradients);
    bantam::WeightAverage<Scalar> average{reference::averaging_decay, parameters, {}};
    for (std::size_t step = 0; step < reference::steps; ++step) {
        const auto gradient = std::span<const Scalar>{gradients}.subspan(step * count, count);
        const double norm = bantam::gradient_norm<Scalar>(gradient);
        optimizer.step({.learning_rate = reference::rates[step],
                        .gradient_scale = bantam::clip_scale(norm, reference::clip_norm),
                        .averaging_decay = average.advance()},
                       gradient, parameters, average.parameters());
        for (std::size_t index = 0; index < count; ++index) {
            BOOST_TEST_CONTEXT("step " << step << ", parameter " << index) {
                BOOST_TEST(std::abs(static_cast<double>(parameters[index]) - path[step * count + index]) <= tolerance);
                BOOST_TEST(std::abs(static_cast<double>(average.parameters()[index]) -
                                    averages[step * count + index]) <= tolerance);
            }
        }
    }
    BOOST_TEST(optimizer.steps() == reference::steps);
    BOOST_TEST(average.updates() == reference::steps);
}

template <class Scalar>
void check_all_rules(double tolerance) {
    check_trajectory<Scalar>(
        bantam::Sgd<Scalar>{{.momentum = 0.9, .weight_decay = 0.03, .nesterov = true}, ranges, count},
        reference::nesterov_path, reference::nesterov_averages, tolerance);
    check_trajectory<Scalar>(
        bantam::Sgd<Scalar>{{.momentum = 0.8, .weight_decay = 0.03, .nesterov = false}, ranges, count},
        reference::momentum_path, reference::momentum_averages, tolerance);
    check_trajectory<Scalar>(
        bantam::AdamW<Scalar>{{.beta1 = 0.85, .beta2 = 0.97, .epsilon = 1e-6, .weight_decay = 0.2}, ranges, count},
        reference::adamw_path, reference::adamw_averages, tolerance);
}

std::vector<float> random_values(std::size_t size, std::uint64_t stream) {
    bantam::Random random{3, stream};
    std::vector<float> values(size);
    for (float& value : values) value = static_cast<float>(random.normal());
    return values;
}

template <class Call>
void check_error(const Call& call, const std::string& part) {
    BOOST_CHECK_EXCEPTION(call(), bantam::Error, [&](const bantam::Error& error) {
        BOOST_TEST_MESSAGE(error.what());
        return std::string(error.what()).find(part) != std::string::npos;
    });
}

}  // namespace

BOOST_AUTO_TEST_CASE(clipped_steps_and_averages_match_pytorch_in_double) { check_all_rules<double>(1e-13); }

BOOST_AUTO_TEST_CASE(clipped_steps_and_averages_match_pytorch_in_single_precision) { check_all_rules<float>(5e-6); }

BOOST_AUTO_TEST_CASE(training_options_choose_the_rule_and_its_numbers) {
    bantam::TrainingOptions options;
    options.optimizer = OptimizerKind::sgd;
    options.momentum = 0.9;
    options.weight_decay = 0.03;
    check_trajectory<double>(bantam::Optimizer<double>{options, ranges, count}, reference::nesterov_path,
                             reference::nesterov_averages, 1e-13);
    options.optimizer = OptimizerKind::adamw;
    options.beta1 = 0.85;
    options.beta2 = 0.97;
    options.epsilon = 1e-6;
    options.weight_decay = 0.2;
    check_trajectory<double>(bantam::Optimizer<double>{options, ranges, count}, reference::adamw_path,
                             reference::adamw_averages, 1e-13);
}

BOOST_AUTO_TEST_CASE(only_decayed_ranges_shrink_when_there_is_no_gradient) {
    for (const OptimizerKind kind : {OptimizerKind::sgd, OptimizerKind::adamw}) {
        bantam::TrainingOptions options;
        options.optimizer = kind;
        options.weight_decay = 0.1;
        bantam::Optimizer<double> optimizer{options, ranges, count};
        std::vector<double> parameters(count, 2.0);
        optimizer.step({.learning_rate = 0.5}, std::vector<double>(count), parameters);
        for (std::size_t index = 0; index < count; ++index) {
            const bool decayed = index < reference::decayed;
            BOOST_TEST((parameters[index] < 2.0) == decayed);
            if (!decayed) BOOST_TEST(parameters[index] == 2.0);
        }
    }
}

BOOST_AUTO_TEST_CASE(an_optimizer_restored_from_its_state_continues_bit_for_bit) {
    for (const OptimizerKind kind : {OptimizerKind::sgd, OptimizerKind::adamw}) {
        bantam::TrainingOptions options;
        options.optimizer = kind;
        constexpr std::size_t size = 1000;
        const std::vector<ParameterRange> all{{0, 900, true}, {900, size, false}};
        bantam::Optimizer<float> unbroken{options, all, size};
        auto parameters = random_values(size, 0);
        for (std::uint64_t step = 1; step <= 3; ++step) {
            unbroken.step({.learning_rate = 0.01}, random_values(size, step), parameters);
        }
        bantam::Optimizer<float> restored{options, all, size};
        auto from = unbroken.state();
        auto to = restored.state();
        BOOST_REQUIRE_EQUAL(from.size(), kind == OptimizerKind::sgd ? 1 : 2);
        for (std::size_t index = 0; index < from.size(); ++index) {
            BOOST_TEST(from[index].name == to[index].name);
            std::copy(from[index].values.begin(), from[index].values.end(), to[index].values.begin());
        }
        auto copy = parameters;
        const auto next = random_values(size, 4);
        restored.set_steps(unbroken.steps());
        unbroken.step({.learning_rate = 0.01}, next, parameters);
        restored.step({.learning_rate = 0.01}, next, copy);
        BOOST_TEST(parameters == copy);
        BOOST_TEST(restored.steps() == 4);
    }
}

BOOST_AUTO_TEST_CASE(neither_threads_nor_range_boundaries_change_a_bit) {
    constexpr std::size_t size = 100'003;
    const std::vector<ParameterRange> one{{0, size, true}};
    const std::vector<ParameterRange> many{{0, 5, true}, {5, 5, false}, {5, 77, true}, {77, size, true}};
    for (const OptimizerKind kind : {OptimizerKind::sgd, OptimizerKind::adamw}) {
        bantam::TrainingOptions options;
        options.optimizer = kind;
        bantam::Optimizer<float> first{options, one, size};
        bantam::Optimizer<float> second{options, many, size};
        auto left = random_values(size, 0);
        auto right = left;
        auto left_average = left;
        auto right_average = left;
        for (std::uint64_t step = 1; step <= 2; ++step) {
            const auto gradient = random_values(size, step);
            first.step({.learning_rate = 0.1, .averaging_decay = 0.9, .threads = 1}, gradient, left, left_average);
            second.step({.learning_rate = 0.1, .averaging_decay = 0.9, .threads = 3}, gradient, right, right_average);
        }
        BOOST_TEST((left == right));
        BOOST_TEST((left_average == right_average));
    }
}

BOOST_AUTO_TEST_CASE(ranges_with_gaps_or_overlaps_are_refused) {
    const auto make = [](std::vector<ParameterRange> wrong) { bantam::Sgd<float>{{}, wrong, 10}; };
    BOOST_CHECK_NO_THROW(make({{0, 4, true}, {4, 10, false}}));
    check_error([&] { make({{0, 4, true}, {5, 10, false}}); }, "parameter range 5..10 does not follow 4");
    check_error([&] { make({{0, 4, true}, {3, 10, false}}); }, "parameter range 3..10 does not follow 4");
    check_error([&] { make({{0, 4, true}}); }, "parameter ranges end at 4, expected 10");
}

BOOST_AUTO_TEST_CASE(adjacent_ranges_of_one_kind_are_joined) {
    const std::vector<ParameterRange> given{{0, 4, true}, {4, 6, true}, {6, 6, false}, {6, 9, true}, {9, 10, false}};
    const std::vector<ParameterRange> expected{{0, 9, true}, {9, 10, false}};
    BOOST_TEST((bantam::joined_ranges(given, 10) == expected));
}

BOOST_AUTO_TEST_CASE(buffers_of_another_network_are_refused) {
    bantam::AdamW<float> optimizer{{}, ranges, count};
    std::vector<float> right(count);
    std::vector<float> wrong(count + 1);
    check_error([&] { optimizer.step({.learning_rate = 1.0}, wrong, right); },
                "the gradient buffer has 13 elements, expected 12");
    check_error([&] { optimizer.step({.learning_rate = 1.0}, right, wrong); }, "the parameter buffer has 13 elements");
    check_error([&] { optimizer.step({.learning_rate = 1.0}, right, right, wrong); },
                "the average buffer has 13 elements");
}
