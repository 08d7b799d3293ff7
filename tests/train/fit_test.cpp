// SPDX-License-Identifier: MIT
#define BOOST_TEST_MODULE fit
#include <boost/test/unit_test.hpp>

#include "bantam/bantam.hpp"
#include "bantam/base/index.hpp"
#include "bantam/train/fit.hpp"

#include "train/synthetic_pictures.hpp"

#include <cstdio>
#include <memory>
#include <vector>

using namespace bantam_test;
using bantam::EpochReport;
using bantam::Index;
using bantam::LossSums;
using bantam::Metrics;
using bantam::Progress;
using bantam::TrainingPosition;

namespace {

std::unique_ptr<std::FILE, int (*)(std::FILE*)> scratch() { return {std::tmpfile(), std::fclose}; }

std::vector<EpochReport> fit_and_collect(TinyTrainer& trainer, const SyntheticPictures& training,
                                         const SyntheticPictures& validation, const TrainingPosition& start) {
    std::vector<EpochReport> reports;
    const auto stream = scratch();
    bantam::fit(trainer, training, validation, start, stream.get(),
                [&](const EpochReport& report, Progress&) { reports.push_back(report); });
    return reports;
}

}  // namespace

BOOST_AUTO_TEST_CASE(every_epoch_is_reported_once_with_all_its_figures) {
    const SyntheticPictures training{26, 8}, validation{10, 4, true};
    TinyTrainer trainer{tiny_options()};
    const auto reports = fit_and_collect(trainer, training, validation, 0);
    BOOST_TEST_REQUIRE(reports.size() == 5U);
    for (std::size_t i = 0; i < reports.size(); ++i) {
        const EpochReport& report = reports[i];
        BOOST_TEST(report.epoch == static_cast<Index>(i + 1));
        BOOST_TEST(report.training.count == 26);
        BOOST_TEST(report.validation.count == 10);
        for (const Metrics* metrics : {&report.training, &report.validation})
            BOOST_TEST((metrics->loss && metrics->accuracy && metrics->cross_entropy && metrics->teacher_agreement &&
                        metrics->distillation));
        BOOST_TEST(report.images_per_second > 0);
        BOOST_TEST(report.seconds > 0);
    }
    BOOST_TEST(trainer.steps() == 5 * 4);
}

BOOST_AUTO_TEST_CASE(the_reported_learning_rate_is_that_of_the_epochs_first_step) {
    const SyntheticPictures training{26, 8}, validation{10, 4};
    TinyTrainer trainer{tiny_options()};
    const auto reports = fit_and_collect(trainer, training, validation, 0);
    for (const EpochReport& report : reports)
        BOOST_TEST(report.learning_rate == tiny_options().schedule(4)((report.epoch - 1) * 4));
    BOOST_TEST(reports[0].learning_rate < reports[1].learning_rate);
    BOOST_TEST(reports[1].learning_rate > reports[4].learning_rate);
}

BOOST_AUTO_TEST_CASE(training_continues_with_the_first_missing_epoch) {
    const SyntheticPictures training{26, 8}, validation{10, 4};
    bantam::TrainingOptions options = tiny_options();
    TinyTrainer whole{options}, resumed{options};
    const auto all = fit_and_collect(whole, training, validation, 0);

    struct Interruption {};
    TinyTrainer begun{options};
    const auto stream = scratch();
    BOOST_CHECK_THROW(bantam::fit(begun, training, validation, 0, stream.get(),
                                  [](const EpochReport& report, Progress&) {
                                      if (report.epoch == 3) throw Interruption{};
                                  }),
                      Interruption);
    carry_over(begun, resumed);
    const auto rest = fit_and_collect(resumed, training, validation, 3);
    BOOST_TEST_REQUIRE(rest.size() == 2U);
    for (std::size_t i = 0; i < rest.size(); ++i) {
        BOOST_TEST(rest[i].epoch == all[i + 3].epoch);
        BOOST_TEST(*rest[i].training.loss == *all[i + 3].training.loss);
        BOOST_TEST(*rest[i].validation.cross_entropy == *all[i + 3].validation.cross_entropy);
    }
    BOOST_TEST((bits_of(resumed) == bits_of(whole)));
}

BOOST_AUTO_TEST_CASE(training_continues_within_an_epoch_with_the_same_bits) {
    const SyntheticPictures training{26, 8}, validation{10, 4};
    TinyTrainer whole{tiny_options()};
    const auto all = fit_and_collect(whole, training, validation, 0);
    struct Interruption {};
    const auto nothing = [](const EpochReport&, Progress&) {};
    for (Index stop = 1; stop <= 2 * training.batch_count(); ++stop) {
        TinyTrainer begun{tiny_options()}, resumed{tiny_options()};
        TrainingPosition reached;
        const auto stream = scratch();
        BOOST_CHECK_THROW(bantam::fit(begun, training, validation, 0, stream.get(), nothing,
                                      [&](const TrainingPosition& position) {
                                          reached = position;
                                          if (begun.steps() == stop) throw Interruption{};
                                      }),
                          Interruption);
        BOOST_TEST(reached.epoch * training.batch_count() + reached.batch == stop);
        carry_over(begun, resumed);
        const auto rest = fit_and_collect(resumed, training, validation, reached);
        BOOST_TEST_REQUIRE(rest.size() == all.size() - static_cast<std::size_t>(reached.epoch));
        for (std::size_t i = 0; i < rest.size(); ++i) {
            const EpochReport& expected = all[i + static_cast<std::size_t>(reached.epoch)];
            BOOST_TEST(rest[i].epoch == expected.epoch);
            BOOST_TEST(rest[i].training.count == expected.training.count);
            BOOST_TEST(*rest[i].training.loss == *expected.training.loss);
            BOOST_TEST(*rest[i].training.accuracy == *expected.training.accuracy);
            BOOST_TEST(*rest[i].validation.cross_entropy == *expected.validation.cross_entropy);
            BOOST_TEST(rest[i].learning_rate == expected.learning_rate);
        }
        BOOST_TEST((bits_of(resumed) == bits_of(whole)));
    }
}

BOOST_AUTO_TEST_CASE(a_finished_run_is_not_trained_further) {
    const SyntheticPictures training{26, 8}, validation{10, 4};
    TinyTrainer trainer{tiny_options()};
    const auto before = bits_of(trainer);
    BOOST_TEST(fit_and_collect(trainer, training, validation, 5).empty());
    BOOST_TEST((bits_of(trainer) == before));
}

BOOST_AUTO_TEST_CASE(evaluation_does_not_depend_on_the_batch_size) {
    TinyTrainer trainer{tiny_options()};
    const Metrics together = bantam::evaluate(trainer, SyntheticPictures{11, 11});
    for (const Index batch_size : {1, 4, 5, 100}) {
        const Metrics parts = bantam::evaluate(trainer, SyntheticPictures{11, batch_size});
        BOOST_TEST(parts.count == 11);
        BOOST_TEST(*parts.accuracy == *together.accuracy);
        BOOST_TEST(*parts.teacher_agreement == *together.teacher_agreement);
        BOOST_TEST(*parts.loss == *together.loss, boost::test_tools::tolerance(1e-12));
    }
}

BOOST_AUTO_TEST_CASE(progress_is_shown_while_an_epoch_runs) {
    const SyntheticPictures training{26, 8}, validation{10, 4};
    bantam::TrainingOptions options = tiny_options();
    options.epochs = 1;
    TinyTrainer trainer{options};
    const auto stream = scratch();
    bantam::fit(trainer, training, validation, 0, stream.get(), [](const EpochReport&, Progress&) {});
    std::rewind(stream.get());
    char line[200] = "";
    BOOST_TEST_REQUIRE(std::fgets(line, sizeof line, stream.get()) != nullptr);
    const std::string text = line;
    BOOST_TEST(text.starts_with("epoch 1/1  batch 1/4  loss "), text);
    BOOST_TEST(text.find("/s  ETA ") != std::string::npos, text);
}
