// SPDX-License-Identifier: MIT
#define BOOST_TEST_MODULE metrics
#include <boost/test/unit_test.hpp>

#include "bantam/train/metrics.hpp"

BOOST_AUTO_TEST_CASE(each_figure_is_a_mean_over_the_samples_it_was_measured_on) {
    bantam::LossSums sums;
    sums += {.loss = 6.0,
             .weight = 9.0,
             .cross_entropy = 4.0,
             .distillation = 3.0,
             .kl_divergence = 2.5,
             .count = 8,
             .labeled = 4,
             .correct = 3,
             .with_teacher = 5,
             .agree = 4};
    sums += {.loss = 4.0,
             .weight = 11.0,
             .distillation = 3.0,
             .kl_divergence = 0.5,
             .count = 2,
             .with_teacher = 1,
             .agree = 1};
    const bantam::Metrics metrics = bantam::summarize(sums);
    BOOST_TEST(metrics.count == 10);
    BOOST_TEST(metrics.loss.value() == 0.5);
    BOOST_TEST(metrics.accuracy.value() == 0.75);
    BOOST_TEST(metrics.cross_entropy.value() == 1.0);
    BOOST_TEST(metrics.distillation.value() == 1.0);
    BOOST_TEST(metrics.kl_divergence.value() == 0.5);
    BOOST_TEST(metrics.teacher_agreement.value() == 5.0 / 6.0);
}

BOOST_AUTO_TEST_CASE(figures_without_samples_are_absent_rather_than_zero) {
    const bantam::Metrics labels_alone =
        bantam::summarize({.loss = 1.0, .cross_entropy = 1.0, .count = 2, .labeled = 2, .correct = 0});
    BOOST_TEST(labels_alone.accuracy.value() == 0.0);
    BOOST_TEST(!labels_alone.teacher_agreement.has_value());
    BOOST_TEST(!labels_alone.distillation.has_value());
    BOOST_TEST(!labels_alone.kl_divergence.has_value());
    const bantam::Metrics teacher_alone =
        bantam::summarize({.loss = 1.0, .distillation = 1.0, .count = 1, .with_teacher = 1});
    BOOST_TEST(!teacher_alone.accuracy.has_value());
    BOOST_TEST(!teacher_alone.cross_entropy.has_value());
    BOOST_TEST(!bantam::summarize({}).loss.has_value());
}
