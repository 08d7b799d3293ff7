// SPDX-License-Identifier: MIT
#define BOOST_TEST_MODULE fit
#include <boost/test/unit_test.hpp>

#include "bantam/bantam.hpp"
#include "bantam/base/index.hpp"
#include "bantam/train/fit.hpp"

#include "io/temporary_folder.hpp"
#include "train/synthetic_pictures.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
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
                        metrics->distillation && metrics->kl_divergence));
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

BOOST_AUTO_TEST_CASE(a_start_before_the_first_batch_is_refused) {
    const SyntheticPictures pictures{8, 8};
    TinyTrainer trainer{tiny_options()};
    for (const TrainingPosition& start : {TrainingPosition{-2}, TrainingPosition{0, -3}})
        BOOST_TEST(message_of<bantam::Error>([&] {
                       fit_and_collect(trainer, pictures, pictures, start);
                   }).ends_with("both are counted from 0"));
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

namespace {

/// Pictures of TinyNet as ArrayData takes them.
struct Arrays {
    std::vector<float> pixels, teacher_logits;
    std::vector<int> labels;

    explicit Arrays(Index count) {
        const SyntheticBatch all = SyntheticPictures{count, count, true}.first_batch();
        pixels = all.pixels;
        teacher_logits = all.teacher_logits;
        labels = all.labels;
    }
};

template <class... Parts>
std::string refusal(const Parts&... parts) {
    const Arrays good{8};
    const bantam::ArrayData data{parts...}, right{good.pixels, good.labels};
    TinyTrainer trainer{tiny_options()};
    const auto before = bits_of(trainer);
    const auto quiet = [](const EpochReport&) {};
    const std::string message = message_of<bantam::Error>([&] { bantam::fit(trainer, data, right, quiet, nullptr); });
    BOOST_TEST(message_of<bantam::Error>([&] { bantam::fit(trainer, right, data, quiet, nullptr); }) == message);
    BOOST_TEST(message_of<bantam::Error>([&] { bantam::evaluate(trainer, data); }) == message);
    BOOST_TEST((bits_of(trainer) == before));
    return message;
}

}  // namespace

BOOST_AUTO_TEST_CASE(arrays_give_every_sample_once_per_epoch_in_an_order_of_the_seed) {
    std::vector<float> pixels;
    std::vector<std::uint8_t> labels;
    for (int i = 0; i < 11; ++i) {
        pixels.push_back(static_cast<float>(i));
        labels.push_back(static_cast<std::uint8_t>(i % 3));
    }
    const bantam::ArrayData data{pixels, labels};
    const auto order = [&](std::uint64_t seed, Index epoch, Index first = 0) {
        const auto loader = data.loader({1, 1, 1}, 3, 4, seed);
        std::vector<float> seen;
        auto batches = loader.batches(epoch, first);
        while (const auto* batch = batches.next()) {
            BOOST_TEST((batch->count == 3 || batch->count == 4));
            for (std::size_t i = 0; i < batch->pixels.size(); ++i)
                BOOST_TEST(batch->labels[i] == static_cast<int>(batch->pixels[i]) % 3);
            seen.insert(seen.end(), batch->pixels.begin(), batch->pixels.end());
        }
        return seen;
    };
    BOOST_TEST((order(1, 0) == order(1, 0)));
    BOOST_TEST((order(1, 0) != order(1, 1)));
    BOOST_TEST((order(1, 0) != order(2, 0)));
    std::vector<float> sorted = order(1, 0);
    BOOST_TEST((std::vector<float>(sorted.begin() + 3, sorted.end()) == order(1, 0, 1)));
    std::ranges::sort(sorted);
    BOOST_TEST((sorted == pixels));
    const auto loader = data.loader({1, 1, 1}, 3, 4, 1);
    std::vector<float> in_order;
    auto batches = loader.batches();
    while (const auto* batch = batches.next())
        in_order.insert(in_order.end(), batch->pixels.begin(), batch->pixels.end());
    BOOST_TEST((in_order == pixels));
}

BOOST_AUTO_TEST_CASE(bytes_become_parts_of_255_and_labels_may_be_any_integers) {
    const std::array<std::uint8_t, 4> bytes{0, 51, 255, 128};
    const std::vector<std::int64_t> labels{1, 0};
    const bantam::ArrayData data{bytes, labels};
    const auto loader = data.loader({1, 2, 1}, 2, 8, 0);
    auto batches = loader.batches();
    const bantam::Batch batch = *batches.next();
    BOOST_TEST((batch.pixels == std::vector<float>{0, 51 / 255.0F, 1, 128 / 255.0F}));
    BOOST_TEST((batch.labels == std::vector<int>{1, 0}));
}

BOOST_AUTO_TEST_CASE(arrays_train_as_the_same_batches_do) {
    const Arrays arrays{20};
    const bantam::ArrayData data{arrays.pixels, arrays.labels, arrays.teacher_logits};
    TinyTrainer one{tiny_options()}, other{tiny_options()}, twice{tiny_options()};
    const auto history = bantam::fit(one, data, data, [](const EpochReport&) {}, nullptr);
    BOOST_TEST(history.size() == 5U);
    BOOST_TEST(*history.back().training.loss < *history.front().training.loss);
    BOOST_TEST((history.back().training.teacher_agreement && history.back().validation.accuracy));
    const auto loader = data.loader(bantam::input_shape<TinyNet>, 3, 8, tiny_options().seed);
    for (Index epoch = 0; epoch < 5; ++epoch) {
        auto batches = loader.batches(epoch);
        while (const auto* batch = batches.next()) other.step(*batch, loader.batch_count());
    }
    BOOST_TEST((bits_of(one) == bits_of(other)));
    int epochs = 0;
    const auto three = [&](const EpochReport&, Progress&) { return ++epochs != 3; };
    BOOST_TEST(bantam::fit(twice, data, data, three, nullptr).size() == 3U);
    BOOST_TEST(bantam::fit(twice, data, data, three, nullptr).size() == 2U);
    BOOST_TEST((bits_of(twice) == bits_of(one)));
    BOOST_TEST(bantam::fit(twice, data, data, three, nullptr).empty());
}

BOOST_AUTO_TEST_CASE(an_evaluation_counts_answers_by_label) {
    const Arrays arrays{30};
    const bantam::ArrayData data{arrays.pixels, arrays.labels};
    TinyTrainer trainer{tiny_options()};
    bantam::fit(trainer, data, data, [](const EpochReport&) {}, nullptr);
    const bantam::Evaluation result = bantam::evaluate(trainer, data);
    const std::vector<int> answers = bantam::predict(trainer, arrays.pixels);
    bantam::ConfusionMatrix expected{3};
    for (std::size_t i = 0; i < answers.size(); ++i) expected.add(arrays.labels[i], answers[i]);
    Index right = 0;
    for (Index label = 0; label < 3; ++label) {
        right += expected.count(label, label);
        BOOST_TEST(result.confusion.labeled(label) == 10);
        for (Index answer = 0; answer < 3; ++answer)
            BOOST_TEST(result.confusion.count(label, answer) == expected.count(label, answer));
    }
    BOOST_TEST(*result.accuracy == static_cast<double>(right) / 30, boost::test_tools::tolerance(1e-12));
    BOOST_TEST(*result.loss == *result.cross_entropy, boost::test_tools::tolerance(1e-12));

    bantam::ConfusionMatrix two{2};
    for (const auto& [label, answer] : {std::pair{0, 0}, {0, 0}, {0, 1}, {0, 1}}) two.add(label, answer);
    BOOST_TEST(*two.recall(0) == 0.5);
    BOOST_TEST(*two.precision(0) == 1.0);
    BOOST_TEST(*two.precision(1) == 0.0);
    BOOST_TEST(!two.recall(1));
    BOOST_TEST(two.answered(1) == 2);
}

BOOST_AUTO_TEST_CASE(arrays_that_do_not_fit_are_refused_before_training) {
    const Arrays good{8};
    const std::vector<float> none, more(8 * 144 + 1), nine(9);
    BOOST_TEST(refusal(good.pixels, std::vector{0, 1}) == "there are 2 labels for 8 pictures of 6x8x3; give 8");
    BOOST_TEST(refusal(more, good.labels).starts_with("there are 1153 pixel values, no multiple of the 144 of"));
    BOOST_TEST(refusal(none, std::vector<int>{}) == "the data have no pictures; give at least one");
    BOOST_TEST(refusal(good.pixels, good.labels, nine) ==
               "there are 9 teacher logits for 8 pictures of 6x8x3; give 24");
    BOOST_TEST(refusal(good.pixels, nine) == "there are 9 target values for 8 pictures of 6x8x3; give 24");
    BOOST_TEST(refusal(good.pixels) ==
               "loss: the batch has no labels, which this loss reads; give an integer per picture");
    const std::vector<float> floats(8 * 3);
    BOOST_TEST(refusal(good.pixels, floats).ends_with(": floats are target values, as for MeanSquaredError"));
    BOOST_TEST(message_of<bantam::Error>([&] { bantam::ArrayData{good.pixels, {0, -2}}; }) ==
               "label -2 at index 1 is no class; classes are counted from 0");
    std::vector<int> labels = good.labels;
    labels[3] = 7;
    BOOST_TEST(refusal(good.pixels, labels) == "label 7 at index 3 is outside 0..2; the network has 3 classes");
    labels[3] = -1;
    BOOST_TEST(refusal(good.pixels, labels) == "label -1 at index 3 is outside 0..2; the network has 3 classes");
    BOOST_TEST(message_of<bantam::Error>([&] {
                   bantam::ArrayData{good.pixels, std::vector<std::int64_t>{0, std::int64_t{1} << 40}};
               }) == "label 1099511627776 at index 1 is no class; classes are counted from 0");
    TinyTrainer trainer{tiny_options()};
    const SyntheticPictures empty{0, 8};
    BOOST_TEST(message_of<bantam::Error>([&] { bantam::fit(trainer, empty, empty); }) ==
               "there are no pictures to train on; give at least one");
}

BOOST_AUTO_TEST_CASE(without_a_callback_every_epoch_is_one_line) {
    const Arrays arrays{16};
    const bantam::ArrayData data{arrays.pixels, arrays.labels};
    bantam::TrainingOptions options = tiny_options();
    options.epochs = 1;
    TinyTrainer trainer{options};
    const auto stream = scratch();
    bantam::fit(trainer, data, data, bantam::detail::PrintEpoch{}, stream.get());
    std::rewind(stream.get());
    char line[200] = "";
    BOOST_TEST_REQUIRE(std::fgets(line, sizeof line, stream.get()) != nullptr);
    BOOST_TEST_REQUIRE(std::fgets(line, sizeof line, stream.get()) != nullptr);
    const std::string text = line;
    BOOST_TEST(text.starts_with("epoch 1  training loss "), text);
    BOOST_TEST(text.find(" %  validation loss ") != std::string::npos, text);
}
