// SPDX-License-Identifier: MIT
#define BOOST_TEST_MODULE options
#include <boost/test/unit_test.hpp>

#include "bantam/train/options.hpp"

#include <functional>
#include <limits>
#include <string>
#include <vector>

using bantam::TrainingOptions;

namespace {

std::string complaint(const std::function<void(TrainingOptions&)>& change) {
    TrainingOptions options;
    change(options);
    try {
        bantam::check(options);
    } catch (const bantam::Error& error) {
        return error.what();
    }
    return "accepted";
}

}  // namespace

BOOST_AUTO_TEST_CASE(the_defaults_are_accepted) { BOOST_CHECK_NO_THROW(bantam::check(TrainingOptions{})); }

BOOST_AUTO_TEST_CASE(each_option_out_of_range_is_named_with_its_value_and_range) {
    BOOST_TEST(complaint([](auto& o) { o.epochs = 0; }) == "epochs is 0; it must be in 1..1000000");
    BOOST_TEST(complaint([](auto& o) { o.batch_size = -4; }) == "batch_size is -4; it must be in 1..65536");
    BOOST_TEST(complaint([](auto& o) { o.learning_rate = 0.0; }) ==
               "learning_rate is 0; it must be above 0 and at most 100");
    BOOST_TEST(complaint([](auto& o) { o.momentum = 1.0; }) == "momentum is 1; it must be at least 0 and below 1");
    BOOST_TEST(complaint([](auto& o) { o.weight_decay = -0.5; }) == "weight_decay is -0.5; it must be in 0..10");
    BOOST_TEST(complaint([](auto& o) { o.beta1 = 1.0; }) == "beta1 is 1; it must be at least 0 and below 1");
    BOOST_TEST(complaint([](auto& o) { o.beta2 = -0.1; }) == "beta2 is -0.1; it must be at least 0 and below 1");
    BOOST_TEST(complaint([](auto& o) { o.epsilon = 0.0; }) == "epsilon is 0; it must be above 0 and at most 1");
    BOOST_TEST(complaint([](auto& o) { o.lookahead_steps = -1; }) ==
               "lookahead_steps is -1; it must be in 0..1000000 (0 turns Lookahead off)");
    BOOST_TEST(complaint([](auto& o) { o.lookahead_alpha = 0.0; }) ==
               "lookahead_alpha is 0; it must be above 0 and at most 1");
    BOOST_TEST(complaint([](auto& o) { o.warmup_epochs = 101.0; }) ==
               "warmup_epochs is 101; it must be at least 0 and at most epochs");
    BOOST_TEST(complaint([](auto& o) { o.final_learning_rate_fraction = 1.5; }) ==
               "final_learning_rate_fraction is 1.5; it must be in 0..1");
    BOOST_TEST(complaint([](auto& o) { o.temperature = 0.0; }) == "temperature is 0; it must be in 0.01..1000");
    BOOST_TEST(complaint([](auto& o) { o.dkd_alpha = -1.0; }) == "dkd_alpha is -1; it must be in 0..1000");
    BOOST_TEST(complaint([](auto& o) { o.dkd_beta = 1001.0; }) == "dkd_beta is 1001; it must be in 0..1000");
    BOOST_TEST(complaint([](auto& o) { o.alpha = 1.01; }) == "alpha is 1.01; it must be in 0..1");
    BOOST_TEST(complaint([](auto& o) { o.alpha_where_wrong = -0.5; }) ==
               "alpha_where_wrong is -0.5; it must be in 0..1");
    BOOST_TEST(complaint([](auto& o) { o.label_smoothing = 1.0; }) ==
               "label_smoothing is 1; it must be at least 0 and below 1");
    BOOST_TEST(complaint([](auto& o) { o.labeled_weight = -1.0; }) == "labeled_weight is -1; it must be in 0..1000");
    BOOST_TEST(complaint([](auto& o) { o.unlabeled_weight = 1001; }) ==
               "unlabeled_weight is 1001; it must be in 0..1000");
    BOOST_TEST(complaint([](auto& o) { o.mixed_weight = -0.5; }) == "mixed_weight is -0.5; it must be in 0..1000");
    BOOST_TEST(complaint([](auto& o) { o.clip_norm = -1.0; }) ==
               "clip_norm is -1; it must be a finite number, at least 0 (0 turns clipping off)");
    BOOST_TEST(complaint([](auto& o) { o.averaging_decay = 1.0; }) ==
               "averaging_decay is 1; it must be at least 0 and below 1 (0 turns averaging off)");
    BOOST_TEST(complaint([](auto& o) { o.threads = 0; }) == "threads is 0; it must be in 1..1024");
}

BOOST_AUTO_TEST_CASE(numbers_at_the_edge_of_their_range_are_accepted) {
    BOOST_TEST(complaint([](auto& o) {
                   o.epochs = 1;
                   o.batch_size = 1;
                   o.momentum = 0.0;
                   o.weight_decay = 0.0;
                   o.warmup_epochs = 1.0;
                   o.final_learning_rate_fraction = 0.0;
                   o.alpha = 1.0;
                   o.clip_norm = 0.0;
                   o.averaging_decay = 0.0;
               }) == "accepted");
}

BOOST_AUTO_TEST_CASE(not_a_number_is_never_in_range) {
    const std::vector<double TrainingOptions::*> numbers{&TrainingOptions::learning_rate,
                                                         &TrainingOptions::momentum,
                                                         &TrainingOptions::weight_decay,
                                                         &TrainingOptions::beta1,
                                                         &TrainingOptions::beta2,
                                                         &TrainingOptions::epsilon,
                                                         &TrainingOptions::warmup_epochs,
                                                         &TrainingOptions::final_learning_rate_fraction,
                                                         &TrainingOptions::temperature,
                                                         &TrainingOptions::alpha,
                                                         &TrainingOptions::dkd_alpha,
                                                         &TrainingOptions::dkd_beta,
                                                         &TrainingOptions::label_smoothing,
                                                         &TrainingOptions::labeled_weight,
                                                         &TrainingOptions::unlabeled_weight,
                                                         &TrainingOptions::mixed_weight,
                                                         &TrainingOptions::clip_norm,
                                                         &TrainingOptions::averaging_decay,
                                                         &TrainingOptions::lookahead_alpha};
    for (const auto number : numbers) {
        BOOST_TEST(complaint([=](auto& o) { o.*number = std::numeric_limits<double>::quiet_NaN(); }).find("nan") !=
                   std::string::npos);
        BOOST_TEST(complaint([=](auto& o) { o.*number = std::numeric_limits<double>::infinity(); }).find("inf") !=
                   std::string::npos);
    }
}

BOOST_AUTO_TEST_CASE(alpha_where_the_teacher_is_wrong_is_alpha_unless_it_is_given) {
    TrainingOptions options;
    options.alpha = 0.3;
    BOOST_TEST(options.loss().alpha_where_wrong == 0.3);
    options.alpha_where_wrong = 0.0;
    BOOST_TEST(options.loss().alpha_where_wrong == 0.0);
    BOOST_TEST(options.loss().alpha == 0.3);
}

BOOST_AUTO_TEST_CASE(optimizers_are_chosen_by_name) {
    for (const auto kind : {bantam::OptimizerKind::sgd, bantam::OptimizerKind::adamw, bantam::OptimizerKind::muon}) {
        BOOST_TEST((bantam::optimizer_kind(bantam::name(kind)) == kind));
    }
    BOOST_CHECK_EXCEPTION(bantam::optimizer_kind("adam"), bantam::Error, [](const bantam::Error& error) {
        return std::string(error.what()) == "optimizer is \"adam\"; it must be sgd, adamw or muon";
    });
}

BOOST_AUTO_TEST_CASE(the_schedule_follows_from_epochs_and_their_steps) {
    TrainingOptions options;
    options.epochs = 10;
    options.warmup_epochs = 0.5;
    options.learning_rate = 0.2;
    const bantam::Schedule schedule = options.schedule(30);
    BOOST_TEST(schedule.warmup_steps == 15);
    BOOST_TEST(schedule.total_steps == 300);
    BOOST_TEST(schedule(14) == 0.2);
    BOOST_TEST(schedule(300) == 0.2 * options.final_learning_rate_fraction);
}

BOOST_AUTO_TEST_CASE(the_defaults_fit_a_run_of_any_length) {
    for (const bantam::Index epochs : {1, 2, 3, 100}) {
        TrainingOptions options;
        options.epochs = epochs;
        BOOST_CHECK_NO_THROW(bantam::check(options));
        const bantam::Schedule schedule = options.schedule(10);
        BOOST_TEST(schedule.warmup_steps == (epochs == 1 ? 5 : 20));
        BOOST_TEST(schedule.total_steps == 10 * epochs);
    }
}
