// SPDX-License-Identifier: MIT
#define BOOST_TEST_MODULE losses
#include <boost/test/unit_test.hpp>

#include "bantam/base/index.hpp"
#include "bantam/base/random.hpp"
#include "bantam/train/losses.hpp"
#include "reference/training_reference.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace reference = training_reference;
using bantam::Distillation;
using bantam::LossOptions;
using bantam::LossSums;
using bantam::Targets;

namespace {

constexpr LossOptions reference_options{.distillation = {.temperature = reference::temperature},
                                        .alpha = reference::alpha,
                                        .label_smoothing = reference::smoothing};

template <class Scalar, class Table>
std::vector<Scalar> as(const Table& table) {
    std::vector<Scalar> values;
    for (const double value : table) values.push_back(static_cast<Scalar>(value));
    return values;
}

std::vector<double> random_logits(std::size_t count, double scale, std::uint64_t stream) {
    bantam::Random random{7, stream};
    std::vector<double> values(count);
    for (double& value : values) value = scale * random.normal();
    return values;
}

/// The numeric gradient of the loss divided by `weight`.
std::vector<double> slopes(const LossOptions& options, bantam::Index classes, std::vector<double> logits,
                           const Targets<double>& targets, double weight) {
    constexpr double step = 1e-5;
    const auto loss_at = [&](std::size_t index, double value) {
        const double before = std::exchange(logits[index], value);
        const double loss = bantam::loss_and_gradient(options, classes, logits, targets, {}).loss;
        logits[index] = before;
        return loss;
    };
    std::vector<double> result(logits.size());
    for (std::size_t index = 0; index < logits.size(); ++index)
        result[index] =
            (loss_at(index, logits[index] + step) - loss_at(index, logits[index] - step)) / (2 * step) / weight;
    return result;
}

template <class Left, class Right>
void check_close(const Left& left, const Right& right, double tolerance) {
    BOOST_REQUIRE_EQUAL(left.size(), right.size());
    for (std::size_t index = 0; index < left.size(); ++index) {
        BOOST_TEST_CONTEXT("element " << index) {
            BOOST_TEST(std::abs(static_cast<double>(left[index]) - static_cast<double>(right[index])) <= tolerance);
        }
    }
}

template <class Call>
void check_error(const Call& call, const std::string& part) {
    BOOST_CHECK_EXCEPTION(call(), bantam::Error, [&](const bantam::Error& error) {
        BOOST_TEST_MESSAGE(error.what());
        return std::string(error.what()).find(part) != std::string::npos;
    });
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_batch_with_labels_and_teacher_matches_pytorch) {
    const auto logits = as<double>(reference::logits);
    const auto teacher = as<double>(reference::teacher_logits);
    const std::vector<std::uint8_t> taught(6, 1);
    std::vector<double> gradient(logits.size());
    const LossSums sums = bantam::loss_and_gradient(reference_options, reference::classes, logits,
                                                    Targets<double>{reference::all_labels, teacher, taught}, gradient);
    BOOST_TEST(sums.loss / 6 == reference::full_loss[0], boost::test_tools::tolerance(1e-13));
    BOOST_TEST(sums.cross_entropy / 6 == reference::full_loss[1], boost::test_tools::tolerance(1e-13));
    BOOST_TEST(sums.distillation / 6 == reference::full_loss[2], boost::test_tools::tolerance(1e-13));
    check_close(gradient, reference::full_gradient, 1e-14);
}

BOOST_AUTO_TEST_CASE(a_batch_of_mixed_supervision_matches_pytorch) {
    const auto logits = as<double>(reference::logits);
    const auto teacher = as<double>(reference::teacher_logits);
    std::vector<double> gradient(logits.size());
    const LossSums sums =
        bantam::loss_and_gradient(reference_options, reference::classes, logits,
                                  Targets<double>{reference::labels, teacher, reference::has_teacher}, gradient);
    BOOST_TEST(sums.loss == reference::mixed_sums[0], boost::test_tools::tolerance(1e-13));
    BOOST_TEST(sums.cross_entropy == reference::mixed_sums[1], boost::test_tools::tolerance(1e-13));
    BOOST_TEST(sums.distillation == reference::mixed_sums[2], boost::test_tools::tolerance(1e-13));
    check_close(gradient, reference::mixed_gradient, 1e-14);
    BOOST_TEST(sums.count == 6);
    BOOST_TEST(sums.labeled == 4);
    BOOST_TEST(sums.with_teacher == 4);
}

BOOST_AUTO_TEST_CASE(single_precision_differs_from_double_by_rounding_alone) {
    const auto logits = as<float>(reference::logits);
    const auto teacher = as<float>(reference::teacher_logits);
    std::vector<float> gradient(logits.size());
    const LossSums sums =
        bantam::loss_and_gradient(reference_options, reference::classes, logits,
                                  Targets<float>{reference::labels, teacher, reference::has_teacher}, gradient);
    BOOST_TEST(sums.loss == reference::mixed_sums[0], boost::test_tools::tolerance(1e-13));
    check_close(gradient, reference::mixed_gradient, 1e-7);
}

BOOST_AUTO_TEST_CASE(the_gradient_is_the_slope_of_the_mean_loss) {
    constexpr bantam::Index classes = 7;
    const std::vector<std::int32_t> labels{3, -1, 6, 0};
    const std::vector<std::uint8_t> taught{1, 1, 0, 1};
    const auto teacher = random_logits(4 * classes, 4.0, 1);
    for (const double temperature : {0.5, 1.0, 6.0}) {
        for (const double smoothing : {0.0, 0.2}) {
            const LossOptions options{
                .distillation = {.temperature = temperature}, .alpha = 0.35, .label_smoothing = smoothing};
            const Targets<double> targets{labels, teacher, taught};
            auto logits = random_logits(4 * classes, 2.0, 2);
            std::vector<double> gradient(logits.size());
            bantam::loss_and_gradient(options, classes, logits, targets, gradient);
            const std::vector<double> slope = slopes(options, classes, logits, targets, 4.0);
            check_close(gradient, slope, 1e-8);
        }
    }
}

namespace {

struct DistillationReference {
    Distillation kind;
    const std::array<double, 2>& values;  // plain and of z-scores
    const std::array<double, 60>& gradients;
};

const std::vector<DistillationReference> distillation_references{
    {Distillation::kl, reference::kl, reference::kl_gradients},
    {Distillation::reverse_kl, reference::reverse_kl, reference::reverse_kl_gradients},
    {Distillation::symmetric_kl, reference::symmetric_kl, reference::symmetric_kl_gradients},
    {Distillation::dkd, reference::dkd, reference::dkd_gradients},
    {Distillation::mse, reference::mse, reference::mse_gradients}};

LossOptions distillation_alone(Distillation kind, bool standardized) {
    return {.distillation = {.kind = kind,
                             .temperature = reference::temperature,
                             .standardized = standardized,
                             .dkd_alpha = reference::dkd_alpha,
                             .dkd_beta = reference::dkd_beta},
            .alpha = 1.0};
}

}  // namespace

BOOST_AUTO_TEST_CASE(every_distillation_loss_matches_pytorch) {
    const auto logits = as<double>(reference::logits);
    const auto teacher = as<double>(reference::teacher_logits);
    const auto logits_float = as<float>(reference::logits);
    const auto teacher_float = as<float>(reference::teacher_logits);
    const std::vector<std::uint8_t> taught(6, 1);
    for (const auto& [kind, values, gradients] : distillation_references)
        for (const bool standardized : {false, true})
            BOOST_TEST_CONTEXT(name(kind) << " standardized " << standardized) {
                const LossOptions options = distillation_alone(kind, standardized);
                std::vector<double> gradient(30);
                const LossSums sums = bantam::loss_and_gradient(
                    options, 5, logits, Targets<double>{reference::labels, teacher, taught}, gradient, 1.0);
                BOOST_TEST(sums.distillation == values[standardized], boost::test_tools::tolerance(1e-12));
                BOOST_TEST(sums.loss == sums.distillation, boost::test_tools::tolerance(1e-15));
                BOOST_TEST(sums.kl_divergence == reference::kl_divergence[0], boost::test_tools::tolerance(1e-13));
                const std::span<const double> expected = std::span{gradients}.subspan(standardized ? 30 : 0, 30);
                check_close(gradient, expected, 1e-11);
                std::vector<float> gradient_float(30);
                bantam::loss_and_gradient(options, 5, logits_float,
                                          Targets<float>{reference::labels, teacher_float, taught}, gradient_float,
                                          1.0);
                check_close(gradient_float, expected, 1e-5);
            }
}

BOOST_AUTO_TEST_CASE(the_gradient_of_every_distillation_loss_is_its_slope) {
    constexpr bantam::Index classes = 7;
    const std::vector<std::int32_t> labels{3, -1, 6, 0};
    const std::vector<std::uint8_t> taught{1, 1, 0, 1};
    const auto teacher = random_logits(4 * classes, 4.0, 1);
    for (const DistillationReference& loss : distillation_references)
        for (const bool standardized : {false, true}) {
            LossOptions options = distillation_alone(loss.kind, standardized);
            options.alpha = 0.6;
            options.alpha_where_wrong = 0.2;
            options.label_smoothing = 0.1;
            options.weights = {.labeled = 2.0, .unlabeled = 0.5};
            const Targets<double> targets{labels, teacher, taught};
            auto logits = random_logits(4 * classes, 2.0, 2);
            std::vector<double> gradient(logits.size());
            const double weight = bantam::loss_and_gradient(options, classes, logits, targets, gradient).weight;
            const std::vector<double> slope = slopes(options, classes, logits, targets, weight);
            BOOST_TEST_CONTEXT(name(loss.kind) << " standardized " << standardized) {
                check_close(gradient, slope, 1e-7);
            }
        }
}

BOOST_AUTO_TEST_CASE(decoupled_kl_of_equal_weights_by_the_others_probability_is_kl) {
    // KL = α-part + (1 − p_target) · β-part (Zhao et al.); the teacher's probability of the target is here 1/2.
    const std::vector<double> teacher{std::log(3.0), 0.0, 0.0, 0.0}, student{0.3, -1.0, 2.0, 0.5};
    const std::vector<std::int32_t> labels{0};
    const std::vector<std::uint8_t> taught{1};
    const Targets<double> targets{labels, teacher, taught};
    const auto loss = [&](Distillation kind) {
        return bantam::loss_and_gradient(
                   {.distillation = {.kind = kind, .temperature = 1.0, .dkd_alpha = 1.0, .dkd_beta = 0.5},
                    .alpha = 1.0},
                   4, student, targets, {})
            .loss;
    };
    BOOST_TEST(loss(Distillation::dkd) == loss(Distillation::kl), boost::test_tools::tolerance(1e-13));
}

BOOST_AUTO_TEST_CASE(standardized_logits_compare_neither_range_nor_mean) {
    const auto teacher = random_logits(3 * 11, 3.0, 3);
    std::vector<double> student;
    for (const double logit : teacher) student.push_back(0.25 * logit + 2.0);
    const std::vector<std::int32_t> labels(3, -1);
    const std::vector<std::uint8_t> taught(3, 1);
    const Targets<double> targets{labels, teacher, taught};
    for (const DistillationReference& loss : distillation_references) {
        BOOST_TEST(bantam::loss_and_gradient(distillation_alone(loss.kind, false), 11, student, targets, {}).loss >
                   0.1);
        BOOST_TEST(bantam::loss_and_gradient(distillation_alone(loss.kind, true), 11, student, targets, {}).loss <
                   1e-6);
    }
    // Equal logits have no order; the z-scores stay finite.
    std::vector<float> gradient(33);
    const std::vector<float> equal(33, 1.5F), of_teacher(teacher.begin(), teacher.end());
    const LossSums sums = bantam::loss_and_gradient(distillation_alone(Distillation::kl, true), 11, equal,
                                                    Targets<float>{labels, of_teacher, taught}, gradient);
    BOOST_TEST(std::isfinite(sums.loss));
    BOOST_TEST(std::ranges::all_of(gradient, [](float value) { return std::isfinite(value); }));
}

BOOST_AUTO_TEST_CASE(logits_of_hundreds_leave_every_distillation_loss_finite) {
    const std::vector<float> student{900, -900, 0, /**/ 0, 0, 0}, teacher{-900, 900, 0, /**/ 900, 0, -900};
    const std::vector<std::int32_t> labels{0, -1};
    const std::vector<std::uint8_t> taught{1, 1};
    for (const DistillationReference& loss : distillation_references)
        for (const bool standardized : {false, true}) {
            std::vector<float> gradient(6);
            LossOptions options = distillation_alone(loss.kind, standardized);
            options.distillation.temperature = 0.5;
            const LossSums sums =
                bantam::loss_and_gradient(options, 3, student, Targets<float>{labels, teacher, taught}, gradient);
            BOOST_TEST(std::isfinite(sums.loss));
            BOOST_TEST(sums.loss > 0);
            BOOST_TEST(std::ranges::all_of(gradient, [](float value) { return std::isfinite(value); }));
        }
}

BOOST_AUTO_TEST_CASE(a_label_counts_more_where_the_teacher_is_wrong) {
    const auto logits = as<double>(reference::logits);
    const auto teacher = as<double>(reference::teacher_logits);
    const std::vector<std::uint8_t> taught(6, 1);
    const Targets<double> targets{reference::all_labels, teacher, taught};
    LossOptions options{.alpha = 0.7};
    const auto loss = [&] { return bantam::loss_and_gradient(options, 5, logits, targets, {}).loss; };
    const double same = loss();
    options.alpha_where_wrong = 0.1;
    double expected = 0.0;
    int wrong = 0;
    for (std::size_t sample = 0; sample < 6; ++sample) {
        const Targets<double> one{std::span{reference::all_labels}.subspan(sample, 1),
                                  std::span{teacher}.subspan(sample * 5, 5), std::span{taught}.subspan(sample, 1)};
        const LossSums sums = bantam::loss_and_gradient({}, 5, std::span{logits}.subspan(sample * 5, 5), one, {});
        const bool is_wrong =
            bantam::most_likely_class(5, teacher.data() + sample * 5) != reference::all_labels[sample];
        const double alpha = is_wrong ? 0.1 : 0.7;
        wrong += is_wrong;
        expected += alpha * sums.distillation + (1 - alpha) * sums.cross_entropy;
    }
    BOOST_TEST(wrong > 0);
    BOOST_TEST(wrong < 6);
    BOOST_TEST(loss() == expected, boost::test_tools::tolerance(1e-13));
    BOOST_TEST(loss() != same);
}

BOOST_AUTO_TEST_CASE(distillation_losses_are_chosen_by_name) {
    for (const DistillationReference& loss : distillation_references)
        BOOST_TEST((bantam::distillation_of_name(name(loss.kind)) == loss.kind));
    check_error([] { bantam::distillation_of_name("jeffreys"); },
                "distillation is \"jeffreys\"; it must be kl, reverse-kl, symmetric-kl, dkd or mse");
}

BOOST_AUTO_TEST_CASE(a_student_equal_to_its_teacher_has_no_divergence_and_no_gradient) {
    const auto teacher = random_logits(3 * 11, 3.0, 3);
    auto student = teacher;
    // Softmax does not depend on a common shift, so the loss must not either.
    for (std::size_t index = 0; index < 11; ++index) student[index] += 5.0;
    const std::vector<std::int32_t> labels(3, -1);
    const std::vector<std::uint8_t> taught(3, 1);
    std::vector<double> gradient(student.size(), 1.0);
    const LossSums sums = bantam::loss_and_gradient({.distillation = {.temperature = 4.0}}, 11, student,
                                                    Targets<double>{labels, teacher, taught}, gradient);
    BOOST_TEST(std::abs(sums.distillation) < 1e-13);
    BOOST_TEST(sums.agree == 3);
    check_close(gradient, std::vector<double>(gradient.size()), 1e-15);
}

BOOST_AUTO_TEST_CASE(the_divergence_is_taken_from_teacher_to_student) {
    // KL((.9,.1) || (.5,.5)) and KL((.5,.5) || (.9,.1)) differ.
    const std::vector<double> teacher{std::log(0.9), std::log(0.1)};
    const std::vector<double> student{0.0, 0.0};
    const std::vector<std::int32_t> labels{-1};
    const std::vector<std::uint8_t> taught{1};
    const LossSums sums = bantam::loss_and_gradient({.distillation = {.temperature = 1.0}}, 2, student,
                                                    Targets<double>{labels, teacher, taught}, {});
    const double forward = 0.9 * std::log(0.9 / 0.5) + 0.1 * std::log(0.1 / 0.5);
    const double backward = 0.5 * std::log(0.5 / 0.9) + 0.5 * std::log(0.5 / 0.1);
    BOOST_TEST(std::abs(forward - backward) > 0.1);
    BOOST_TEST(sums.distillation == forward, boost::test_tools::tolerance(1e-14));
}

BOOST_AUTO_TEST_CASE(a_class_of_teacher_probability_zero_adds_nothing_to_the_divergence) {
    const double never = -std::numeric_limits<double>::infinity();
    const std::vector<double> teacher{0.0, never};
    const std::vector<double> student{std::log(0.5), never};
    BOOST_TEST(bantam::kl_divergence(std::ssize(teacher), std::data(teacher), std::data(student)) == std::log(2.0));
}

BOOST_AUTO_TEST_CASE(the_mean_does_not_depend_on_how_often_a_batch_is_repeated) {
    const auto once = as<double>(reference::logits);
    const auto teacher_once = as<double>(reference::teacher_logits);
    auto twice = once;
    twice.insert(twice.end(), once.begin(), once.end());
    auto teacher_twice = teacher_once;
    teacher_twice.insert(teacher_twice.end(), teacher_once.begin(), teacher_once.end());
    std::vector<std::int32_t> labels(reference::labels.begin(), reference::labels.end());
    labels.insert(labels.end(), reference::labels.begin(), reference::labels.end());
    std::vector<std::uint8_t> taught(reference::has_teacher.begin(), reference::has_teacher.end());
    taught.insert(taught.end(), reference::has_teacher.begin(), reference::has_teacher.end());
    const LossSums sums =
        bantam::loss_and_gradient(reference_options, 5, twice, Targets<double>{labels, teacher_twice, taught}, {});
    BOOST_TEST(sums.loss / 12 == reference::mixed_sums[0] / 6, boost::test_tools::tolerance(1e-13));
}

BOOST_AUTO_TEST_CASE(a_batch_in_chunks_gives_the_bits_of_the_whole_batch) {
    const auto logits = as<float>(reference::logits);
    const auto teacher = as<float>(reference::teacher_logits);
    const std::span<const float> all{logits};
    const std::span<const float> all_teacher{teacher};
    const std::span<const std::int32_t> labels{reference::labels};
    const std::span<const std::uint8_t> taught{reference::has_teacher};
    std::vector<float> whole(logits.size());
    bantam::loss_and_gradient(reference_options, 5, all, Targets<float>{labels, all_teacher, taught}, whole);
    std::vector<float> chunked(logits.size());
    LossSums sums;
    for (std::size_t first = 0; first < 6; first += 2) {
        sums += bantam::loss_and_gradient(
            reference_options, 5, all.subspan(first * 5, 10),
            Targets<float>{labels.subspan(first, 2), all_teacher.subspan(first * 5, 10), taught.subspan(first, 2)},
            std::span<float>{chunked}.subspan(first * 5, 10), 6);
    }
    BOOST_TEST(whole == chunked, boost::test_tools::per_element());
    BOOST_TEST(sums.count == 6);
    BOOST_TEST(sums.loss == reference::mixed_sums[0], boost::test_tools::tolerance(1e-13));
}

BOOST_AUTO_TEST_CASE(a_batch_of_weighted_sources_has_the_weighted_mean_of_its_samples) {
    const auto logits = as<double>(reference::logits);
    const auto teacher = as<double>(reference::teacher_logits);
    const std::vector<std::uint8_t> mixed{0, 0, 1, 0, 0, 1};
    const bantam::SourceWeights weights{.labeled = 2.0, .unlabeled = 0.5, .mixed = 3.0};
    LossOptions options = reference_options;
    options.weights = weights;
    Targets<double> targets{reference::labels, teacher, reference::has_teacher};
    targets.mixed = mixed;
    std::vector<double> gradient(logits.size());
    const LossSums sums = bantam::loss_and_gradient(options, 5, logits, targets, gradient);
    // Labels 2, −1, 0, 4, −1, 3.
    const std::vector<double> of_samples{2.0, 0.5, 3.0, 2.0, 0.5, 3.0};
    BOOST_TEST(sums.weight == 11.0);
    double loss = 0.0;
    for (std::size_t sample = 0; sample < 6; ++sample) {
        const Targets<double> one{std::span{reference::labels}.subspan(sample, 1),
                                  std::span{teacher}.subspan(sample * 5, 5),
                                  std::span{reference::has_teacher}.subspan(sample, 1)};
        std::vector<double> alone(5);
        loss +=
            of_samples[sample] *
            bantam::loss_and_gradient(reference_options, 5, std::span{logits}.subspan(sample * 5, 5), one, alone).loss;
        for (std::size_t index = 0; index < 5; ++index)
            BOOST_TEST(gradient[sample * 5 + index] == of_samples[sample] / 11.0 * alone[index],
                       boost::test_tools::tolerance(1e-13));
    }
    BOOST_TEST(sums.loss == loss, boost::test_tools::tolerance(1e-13));
    // The other figures are not weighted, and twice the weights give the same gradient.
    BOOST_TEST(sums.cross_entropy == reference::mixed_sums[1], boost::test_tools::tolerance(1e-13));
    options.weights = {.labeled = 4.0, .unlabeled = 1.0, .mixed = 6.0};
    std::vector<double> twice(logits.size());
    bantam::loss_and_gradient(options, 5, logits, targets, twice);
    BOOST_TEST(twice == gradient, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_batch_of_weight_zero_has_no_gradient) {
    const auto logits = as<double>(reference::logits);
    LossOptions options;
    options.weights.labeled = 0.0;
    std::vector<double> gradient(logits.size(), 1.0);
    const LossSums sums =
        bantam::loss_and_gradient(options, 5, logits, Targets<double>{reference::all_labels}, gradient);
    BOOST_TEST(sums.loss == 0.0);
    BOOST_TEST(sums.weight == 0.0);
    BOOST_TEST(gradient == std::vector<double>(gradient.size()), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(alpha_moves_the_weight_from_label_to_teacher) {
    const auto logits = as<double>(reference::logits);
    const auto teacher = as<double>(reference::teacher_logits);
    const std::vector<std::uint8_t> taught(6, 1);
    const Targets<double> targets{reference::all_labels, teacher, taught};
    const LossSums labels_only = bantam::loss_and_gradient({.alpha = 0.0}, 5, logits, targets, {});
    BOOST_TEST(labels_only.loss == labels_only.cross_entropy);
    const LossSums teacher_only = bantam::loss_and_gradient({.alpha = 1.0}, 5, logits, targets, {});
    BOOST_TEST(teacher_only.loss == teacher_only.distillation);
    BOOST_TEST(teacher_only.loss != labels_only.loss);
}

BOOST_AUTO_TEST_CASE(enormous_logits_neither_overflow_nor_vanish) {
    const std::vector<float> logits{3e38F, -3e38F, 0.0F, -1000.0F, 0.0F, 1000.0F};
    const std::vector<float> teacher{-3e38F, 3e38F, 0.0F, 1000.0F, 0.0F, -1000.0F};
    const std::vector<std::int32_t> labels{0, 0};
    const std::vector<std::uint8_t> taught{1, 1};
    std::vector<float> gradient(6);
    const LossSums sums =
        bantam::loss_and_gradient({.distillation = {.temperature = 1.0}, .alpha = 0.5, .label_smoothing = 0.1}, 3,
                                  logits, Targets<float>{labels, teacher, taught}, gradient);
    BOOST_TEST(std::isfinite(sums.loss));
    BOOST_TEST(std::all_of(gradient.begin(), gradient.end(), [](float value) { return std::isfinite(value); }));
    // The second sample alone: -log softmax is 2000 for the label.
    const LossSums second = bantam::loss_and_gradient({}, 3, std::span<const float>{logits}.subspan(3),
                                                      Targets<float>{{labels.data(), 1}}, {});
    BOOST_TEST(second.cross_entropy == 2000.0);
}

BOOST_AUTO_TEST_CASE(correct_and_agreeing_samples_are_counted_separately) {
    const std::vector<float> logits{2, 1, 0, /**/ 0, 1, 2, /**/ 1, 2, 0, /**/ 2, 2, 0};
    const std::vector<float> teacher{2, 1, 0, /**/ 9, 1, 2, /**/ 1, 3, 0, /**/ 0, 0, 0};
    const std::vector<std::int32_t> labels{0, 2, -1, 1};
    const std::vector<std::uint8_t> taught{1, 1, 1, 0};
    const LossSums sums = bantam::loss_and_gradient({}, 3, logits, Targets<float>{labels, teacher, taught}, {});
    BOOST_TEST(sums.labeled == 3);
    BOOST_TEST(sums.correct == 2);  // of equal logits the first counts: the last sample is wrong
    BOOST_TEST(sums.with_teacher == 3);
    BOOST_TEST(sums.agree == 2);
}

BOOST_AUTO_TEST_CASE(a_logit_that_is_not_finite_is_reported_with_sample_and_class) {
    std::vector<float> logits(6, 0.5F);
    const std::vector<float> teacher(6, 0.5F);
    const std::vector<std::int32_t> labels{0, 1};
    const std::vector<std::uint8_t> taught{1, 1};
    const auto run = [&] { bantam::loss_and_gradient({}, 3, logits, Targets<float>{labels, teacher, taught}, {}); };
    BOOST_CHECK_NO_THROW(run());
    logits[4] = std::numeric_limits<float>::quiet_NaN();
    check_error(run, "loss is not finite: a logit of sample 1 of the batch, class 1, is NaN; lower");
    logits[4] = -std::numeric_limits<float>::infinity();
    check_error(run, "class 1, is -inf");
}

BOOST_AUTO_TEST_CASE(a_teacher_logit_that_is_not_finite_is_reported_as_the_teachers) {
    const std::vector<float> logits(6, 0.5F);
    std::vector<float> teacher(6, 0.5F);
    teacher[2] = std::numeric_limits<float>::infinity();
    const std::vector<std::int32_t> labels{0, 1};
    const std::vector<std::uint8_t> taught{1, 1};
    check_error([&] { bantam::loss_and_gradient({}, 3, logits, Targets<float>{labels, teacher, taught}, {}); },
                "teacher logit of sample 0 of the batch, class 2, is inf; write the teacher logits anew");
}

BOOST_AUTO_TEST_CASE(invalid_targets_are_refused) {
    const std::vector<float> logits(6, 0.5F);
    const auto run = [&](std::vector<std::int32_t> labels) {
        bantam::loss_and_gradient({}, 3, logits, Targets<float>{labels}, {});
    };
    BOOST_CHECK_NO_THROW(run({0, 2}));
    check_error([&] { run({0, 3}); }, "label 3 of sample 1 of the batch is outside 0..2");
    check_error([&] { run({-2, 0}); }, "label -2 of sample 0");
    check_error([&] { run({0, -1}); }, "sample 1 of the batch has neither a label nor teacher");
    check_error([&] { run({0}); }, "labels has 1 elements, expected 2");
}

BOOST_AUTO_TEST_CASE(the_mean_squared_error_is_that_of_its_formula) {
    const std::vector<double> outputs{1, 2, 3, -1, 0.5, 2}, values{0, 2, 5, -1, 0, 2};
    std::vector<double> gradient(6);
    const Targets<double> targets{.labels = {}, .values = values};
    const LossSums sums = bantam::loss_and_gradient(bantam::MeanSquaredError{}, 3, outputs, targets, gradient);
    BOOST_TEST(sums.loss == (1 + 0 + 4) / 3.0 + 0.25 / 3, boost::test_tools::tolerance(1e-14));
    BOOST_TEST(sums.count == 2);
    BOOST_TEST(sums.labeled == 0);
    const std::vector<double> expected{1 / 3.0, 0, -2 / 3.0, 0, 0.5 / 3, 0};
    for (std::size_t i = 0; i < gradient.size(); ++i)
        BOOST_TEST(gradient[i] == expected[i], boost::test_tools::tolerance(1e-14));
}

namespace {

/// A LabelLoss: −(1 − p)² · log p of the label's probability p (Lin et al., "Focal loss for dense object detection").
struct FocalLoss {
    template <class S>
    double value(bantam::Index outputs, const S* output, bantam::Index label) const {
        std::vector<double> log_probabilities(static_cast<std::size_t>(outputs));
        bantam::log_softmax(1.0, outputs, output, log_probabilities.data());
        const double log_p = log_probabilities[static_cast<std::size_t>(label)];
        return -std::pow(1 - std::exp(log_p), 2) * log_p;
    }
    template <class S>
    void gradient(bantam::Index outputs, const S* output, bantam::Index label, S* gradient) const {
        std::vector<double> log_probabilities(static_cast<std::size_t>(outputs));
        bantam::log_softmax(1.0, outputs, output, log_probabilities.data());
        const double log_p = log_probabilities[static_cast<std::size_t>(label)], p = std::exp(log_p);
        const double by_log_p = 2 * (1 - p) * p * log_p - (1 - p) * (1 - p);
        for (bantam::Index i = 0; i < outputs; ++i)
            gradient[i] = static_cast<S>(
                by_log_p * ((i == label ? 1.0 : 0.0) - std::exp(log_probabilities[static_cast<std::size_t>(i)])));
    }
};

/// Compares the gradient of a batch's mean with differences of its loss.
template <class L>
void gradient_is_that_of_the_value(const L& loss, const Targets<double>& targets) {
    std::vector<double> outputs{0.3, -1.2, 0.8, 2.1, -0.4, 0.1};
    std::vector<double> gradient(6);
    bantam::loss_and_gradient(loss, 3, outputs, targets, gradient);
    for (std::size_t i = 0; i < outputs.size(); ++i) {
        const double kept = outputs[i], step = 1e-5;
        outputs[i] = kept + step;
        const double above = bantam::loss_and_gradient(loss, 3, outputs, targets, {}).loss;
        outputs[i] = kept - step;
        const double below = bantam::loss_and_gradient(loss, 3, outputs, targets, {}).loss;
        outputs[i] = kept;
        BOOST_TEST(std::abs(gradient[i] - (above - below) / (2 * step) / 2) < 1e-8);
    }
}

}  // namespace

BOOST_AUTO_TEST_CASE(gradients_of_other_losses_are_those_of_their_values) {
    const std::vector<std::int32_t> labels{2, 0};
    const std::vector<double> values{0.5, 1, -1, 0, 2, 0.25};
    gradient_is_that_of_the_value(FocalLoss{}, Targets<double>{.labels = labels});
    gradient_is_that_of_the_value(bantam::MeanSquaredError{}, Targets<double>{.labels = {}, .values = values});
}

BOOST_AUTO_TEST_CASE(a_loss_of_labels_reports_their_accuracy_and_cross_entropy) {
    const std::vector<double> outputs{0.3, -1.2, 0.8, 2.1, -0.4, 0.1};
    const std::vector<std::int32_t> labels{2, 1};
    const LossSums focal = bantam::loss_and_gradient(FocalLoss{}, 3, outputs, Targets<double>{.labels = labels}, {});
    const LossSums plain =
        bantam::loss_and_gradient(bantam::LossOptions{}, 3, outputs, Targets<double>{.labels = labels}, {});
    BOOST_TEST(focal.cross_entropy == plain.cross_entropy, boost::test_tools::tolerance(1e-14));
    BOOST_TEST(focal.correct == 1);
    BOOST_TEST(focal.labeled == 2);
    BOOST_TEST(focal.loss < plain.loss);
}

BOOST_AUTO_TEST_CASE(targets_that_a_loss_misses_are_named) {
    const std::vector<float> outputs(6, 0.5F);
    std::vector<float> values(6, 1.0F);
    const std::vector<std::int32_t> labels{0, -1};
    const bantam::MeanSquaredError squares;
    const auto fit_values = [&] {
        bantam::loss_and_gradient(squares, 3, outputs, Targets<float>{.labels = {}, .values = values}, {});
    };
    BOOST_CHECK_NO_THROW(fit_values());
    check_error([&] { bantam::loss_and_gradient(squares, 3, outputs, Targets<float>{.labels = labels}, {}); },
                "the batch has no target values, which this loss reads; give floats [count][outputs]");
    check_error([&] { bantam::loss_and_gradient(FocalLoss{}, 3, outputs, Targets<float>{.labels = labels}, {}); },
                "sample 1 of the batch has no label");
    values[4] = std::numeric_limits<float>::infinity();
    check_error(fit_values, "target of sample 1 of the batch, class 1, is inf; check the targets");
    const std::vector<float> logits(6, 0.5F), teacher(6, 0.5F);
    const std::vector<std::int32_t> all{0, 1};
    check_error([&] { bantam::loss_and_gradient({}, 3, logits, Targets<float>{all, teacher}, {}); },
                "teacher mask has 0 elements, expected 2");
    const std::vector<std::uint8_t> mixed{1};
    check_error([&] { bantam::loss_and_gradient({}, 3, logits, Targets<float>{.labels = all, .mixed = mixed}, {}); },
                "mask of mixed pictures has 1 elements, expected 2");
}
