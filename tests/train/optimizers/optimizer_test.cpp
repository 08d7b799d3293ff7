// SPDX-License-Identifier: MIT
#define BOOST_TEST_MODULE optimizer
#include <boost/test/unit_test.hpp>

#include "bantam/base/random.hpp"
#include "bantam/layers/all.hpp"
#include "bantam/train/averaging.hpp"
#include "bantam/train/clipping.hpp"
#include "bantam/train/optimizers/optimizer.hpp"
#include "reference/training_reference.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace reference = training_reference;
using bantam::OptimizerKind;
using bantam::ParameterMatrix;
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

// The tensors of the reference for Muon, in buffer order.
const std::vector<ParameterRange> muon_ranges{{0, 3, true},   {3, 27, true},  {27, 29, false},
                                              {29, 44, true}, {44, 60, true}, {60, 65, false}};
const std::vector<ParameterMatrix> muon_matrices{{3, 6, 4}, {29, 3, 5}, {44, 4, 4}};

// Runs the reference's steps of Muon and compares parameters after each.
template <class Scalar, class Optimizer>
void check_muon(Optimizer optimizer, double tolerance, int threads) {
    auto parameters = as<Scalar>(reference::muon_start);
    const auto gradients = as<Scalar>(reference::muon_gradients);
    const std::size_t size = parameters.size();
    for (std::size_t step = 0; step < reference::muon_steps; ++step) {
        optimizer.step({.learning_rate = reference::rates[step], .threads = threads},
                       std::span<const Scalar>{gradients}.subspan(step * size, size), parameters);
        for (std::size_t index = 0; index < size; ++index) {
            const double expected = reference::muon_path[step * size + index];
            BOOST_TEST(std::abs(static_cast<double>(parameters[index]) - expected) <= tolerance,
                       "step " << step << ", parameter " << index);
        }
    }
}

bantam::TrainingOptions muon_options() {
    bantam::TrainingOptions options;
    options.optimizer = OptimizerKind::muon;
    options.momentum = 0.95;
    options.beta1 = 0.85;
    options.beta2 = 0.97;
    options.epsilon = 1e-6;
    options.weight_decay = 0.2;
    return options;
}

// Every optimizer, and Lookahead around one that has matrices of its own.
std::vector<bantam::TrainingOptions> every_optimizer() {
    std::vector<bantam::TrainingOptions> all(4);
    all[1].optimizer = OptimizerKind::adamw;
    all[2].optimizer = OptimizerKind::muon;
    all[3].optimizer = OptimizerKind::muon;
    all[3].lookahead_steps = 2;
    return all;
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
    options.lookahead_steps = 3;
    options.lookahead_alpha = 0.6;
    check_trajectory<double>(bantam::Optimizer<double>{options, ranges, count}, reference::lookahead_path,
                             reference::lookahead_averages, 1e-13);
    options.lookahead_steps = 0;
    options.optimizer = OptimizerKind::adamw;
    options.beta1 = 0.85;
    options.beta2 = 0.97;
    options.epsilon = 1e-6;
    options.weight_decay = 0.2;
    check_trajectory<double>(bantam::Optimizer<double>{options, ranges, count}, reference::adamw_path,
                             reference::adamw_averages, 1e-13);
}

BOOST_AUTO_TEST_CASE(muon_matches_its_reference_in_pytorch) {
    check_muon<double>(bantam::Optimizer<double>{muon_options(), muon_ranges, 65, muon_matrices}, 1e-11, 1);
    check_muon<float>(bantam::Optimizer<float>{muon_options(), muon_ranges, 65, muon_matrices}, 1e-4, 2);
}

BOOST_AUTO_TEST_CASE(orthogonalized_matrices_keep_their_directions_at_about_one_length) {
    // Columns of lengths far apart, at right angles.
    for (const auto& [rows, columns] : {std::pair{37, 4}, {4, 37}, {21, 19}}) {
        auto matrix = random_values(static_cast<std::size_t>(rows * columns), 7);
        const auto before = matrix;
        bantam::orthogonalize(rows, columns, matrix.data());
        // The products of its shorter side's vectors are near those of an orthonormal set.
        const int side = std::min(rows, columns), length = std::max(rows, columns);
        const auto at = [&](const std::vector<float>& m, int vector, int i) {
            return static_cast<double>(
                m[static_cast<std::size_t>(columns > rows ? vector * columns + i : i * columns + vector)]);
        };
        double along = 0;
        for (int a = 0; a < side; ++a)
            for (int b = 0; b < side; ++b) {
                double product = 0;
                for (int i = 0; i < length; ++i) product += at(matrix, a, i) * at(matrix, b, i);
                BOOST_TEST(std::abs(product - (a == b ? 0.9 : 0.0)) < 0.6, rows << "x" << columns << ": " << product);
                if (a == b)
                    for (int i = 0; i < length; ++i) along += at(matrix, a, i) * at(before, a, i);
            }
        BOOST_TEST(along > 0);
    }
    std::vector<float> zeros(12);
    bantam::orthogonalize(3, 4, zeros.data());
    BOOST_TEST(zeros == std::vector<float>(12));
}

BOOST_AUTO_TEST_CASE(the_matrices_of_a_network_are_its_pointwise_and_linear_weights) {
    using Net =
        bantam::Network<bantam::Image<8, 8, 3>, bantam::Conv2d<4, 3>, bantam::BatchNorm2d, bantam::DepthwiseConv2d<1>,
                        bantam::PointwiseConv2d<6>, bantam::GlobalAveragePool, bantam::Linear<5>, bantam::Linear<1>>;
    // Conv2d 108 + 4, norm 8, depthwise 4 + 4, pointwise 24 + 6, linear 30 + 5, linear 5 + 1.
    const std::vector<ParameterMatrix> expected{{128, 6, 4}, {158, 5, 6}};
    BOOST_TEST((bantam::parameter_matrices<Net>() == expected));
    BOOST_TEST(bantam::trainable_parameters<Net> == 199);
}

BOOST_AUTO_TEST_CASE(matrices_are_cut_out_of_ranges) {
    const std::vector<ParameterRange> given{{0, 10, true}, {10, 14, false}, {14, 30, true}};
    const std::vector<ParameterMatrix> matrices{{0, 2, 2}, {6, 2, 2}, {16, 2, 3}, {22, 2, 2}};
    const std::vector<ParameterRange> expected{{4, 6, true}, {10, 14, false}, {14, 16, true}, {26, 30, true}};
    BOOST_TEST((bantam::ranges_without(given, matrices) == expected));
}

BOOST_AUTO_TEST_CASE(only_decayed_ranges_shrink_when_there_is_no_gradient) {
    const std::vector<ParameterMatrix> matrices{{1, 2, 3}};
    for (bantam::TrainingOptions options : every_optimizer()) {
        options.weight_decay = 0.1;
        bantam::Optimizer<double> optimizer{options, ranges, count, matrices};
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
    for (const bantam::TrainingOptions& options : every_optimizer()) {
        constexpr std::size_t size = 1000;
        const std::vector<ParameterRange> all{{0, 900, true}, {900, size, false}};
        const std::vector<ParameterMatrix> matrices{{10, 20, 7}, {300, 6, 50}};
        bantam::Optimizer<float> unbroken{options, all, size, matrices};
        auto parameters = random_values(size, 0);
        for (std::uint64_t step = 1; step <= 3; ++step) {
            unbroken.step({.learning_rate = 0.01}, random_values(size, step), parameters);
        }
        bantam::Optimizer<float> restored{options, all, size, matrices};
        auto from = unbroken.state();
        auto to = restored.state();
        BOOST_REQUIRE_EQUAL(from.size(), options.optimizer == OptimizerKind::sgd ? 1
                                         : options.lookahead_steps == 0          ? 2
                                                                                 : 3);
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
    const std::vector<ParameterMatrix> matrices{{70, 30, 40}, {9'000, 64, 33}};
    for (const bantam::TrainingOptions& options : every_optimizer()) {
        bantam::Optimizer<float> first{options, one, size, matrices};
        bantam::Optimizer<float> second{options, many, size, matrices};
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
        BOOST_TEST((left_average != left));
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
