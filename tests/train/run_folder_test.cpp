// SPDX-License-Identifier: MIT
#define BOOST_TEST_MODULE run_folder
#include <boost/test/unit_test.hpp>

#include "bantam/bantam.hpp"
#include "bantam/base/index.hpp"
#include "bantam/train/run_folder.hpp"

#include "io/temporary_folder.hpp"
#include "train/synthetic_pictures.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

using namespace bantam_test;
using bantam::EpochReport;
using bantam::Error;
using bantam::Index;
using bantam::Metadata;
using bantam::Progress;
using bantam::RunFolder;
using bantam::TrainingOptions;
namespace fs = std::filesystem;

namespace {

const Metadata identity{{"pictures", "d00d"}, {"teacher_logits", "f00d"}};
const Metadata student_metadata{{"classes", "[\"a\",\"b\",\"c\"]"}};

const SyntheticPictures& training_pictures() {
    static const SyntheticPictures pictures{25, 8};  // the last batch has one sample
    return pictures;
}
const SyntheticPictures& validation_pictures() {
    static const SyntheticPictures pictures{12, 5, true};
    return pictures;
}

/// Trains in `folder` until the run is complete or, as if killed, right after epoch `last_epoch`.
void run(const fs::path& folder, const TrainingOptions& options, bool resume, Index last_epoch = 1000,
         const Metadata& of = identity) {
    struct Killed {};
    TinyTrainer trainer{options};
    RunFolder run_folder{folder, of};
    if (resume) run_folder.resume(trainer);
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> stream{std::tmpfile(), std::fclose};
    try {
        bantam::fit(trainer, training_pictures(), validation_pictures(), run_folder.finished_epochs(), stream.get(),
                    [&](const EpochReport& report, Progress&) {
                        run_folder.finish_epoch<TinyNet>(trainer, report, student_metadata);
                        if (report.epoch == last_epoch) throw Killed{};
                    });
    } catch (const Killed&) {
    }
}

/// The rows of metrics.csv without images_per_second and seconds.
std::vector<std::string> lasting_columns(const fs::path& metrics) {
    std::vector<std::string> rows;
    std::istringstream stream{contents_of(metrics)};
    for (std::string line; std::getline(stream, line);) {
        for (int column = 0; column < 2; ++column) line.erase(line.rfind(','));
        rows.push_back(line);
    }
    return rows;
}

void check_same_run(const fs::path& found, const fs::path& expected) {
    BOOST_TEST((contents_of(found / "student.safetensors") == contents_of(expected / "student.safetensors")));
    BOOST_TEST((contents_of(found / "last.safetensors") == contents_of(expected / "last.safetensors")));
    BOOST_TEST(lasting_columns(found / "metrics.csv") == lasting_columns(expected / "metrics.csv"));
    BOOST_TEST(entry_count(found) == entry_count(expected));
}

std::string resume_refusal(const fs::path& folder, const TrainingOptions& options, const Metadata& of = identity) {
    const std::string message = message_of<Error>([&] {
        TinyTrainer trainer{options};
        RunFolder{folder, of}.resume(trainer);
    });
    BOOST_TEST(message.find('\n') == std::string::npos, message);
    return message;
}

struct Fixture {
    TemporaryFolder temporary;
    fs::path folder = temporary.path() / "run";
};

EpochReport report_of(Index epoch, std::optional<double> accuracy, std::optional<double> loss = std::nullopt) {
    EpochReport report;
    report.epoch = epoch;
    report.validation.loss = loss;
    report.validation.accuracy = accuracy;
    return report;
}

}  // namespace

BOOST_FIXTURE_TEST_CASE(a_run_writes_student_state_and_one_row_per_epoch, Fixture) {
    run(folder, tiny_options(), false);
    const auto rows = lasting_columns(folder / "metrics.csv");
    BOOST_TEST_REQUIRE(rows.size() == 6U);
    BOOST_TEST(rows[0] ==
               "epoch,learning_rate,training_loss,training_accuracy,training_cross_entropy,training_teacher_agreement,"
               "training_distillation_loss,validation_loss,validation_accuracy,validation_cross_entropy,"
               "validation_teacher_agreement,validation_distillation_loss");
    for (std::size_t epoch = 1; epoch <= 5; ++epoch) {
        BOOST_TEST(rows[epoch].starts_with(std::to_string(epoch) + ','));
        BOOST_TEST(std::ranges::count(rows[epoch], ',') == std::ranges::count(rows[0], ','));
        BOOST_TEST(!contains(rows[epoch], ",,"));
    }
    BOOST_TEST(contents_of(folder / "metrics.csv").substr(rows[0].size(), 27) == ",images_per_second,seconds\n");
    BOOST_TEST(entry_count(folder) == 3U);
}

BOOST_FIXTURE_TEST_CASE(a_resumed_run_ends_with_the_bits_of_an_uninterrupted_one, Fixture) {
    for (const auto optimizer : {bantam::OptimizerKind::sgd, bantam::OptimizerKind::adamw})
        for (const double averaging : {0.9, 0.0}) {
            TrainingOptions options = tiny_options();
            options.optimizer = optimizer;
            options.averaging_decay = averaging;
            fs::remove_all(temporary.path() / "whole");
            run(temporary.path() / "whole", options, false);
            for (Index stop = 1; stop <= 5; ++stop) {
                fs::remove_all(folder);
                run(folder, options, false, stop);
                run(folder, options, true);
                check_same_run(folder, temporary.path() / "whole");
            }
        }
}

BOOST_FIXTURE_TEST_CASE(a_run_may_be_resumed_many_times_with_other_threads, Fixture) {
    run(temporary.path() / "whole", tiny_options(), false);
    for (int threads = 1; threads <= 5; ++threads) {
        TrainingOptions options = tiny_options();
        options.threads = threads;
        run(folder, options, threads > 1, threads);
    }
    check_same_run(folder, temporary.path() / "whole");
}

BOOST_FIXTURE_TEST_CASE(resuming_a_finished_run_changes_nothing, Fixture) {
    run(temporary.path() / "whole", tiny_options(), false);
    run(folder, tiny_options(), false);
    run(folder, tiny_options(), true);
    check_same_run(folder, temporary.path() / "whole");
}

BOOST_FIXTURE_TEST_CASE(a_run_killed_between_two_files_of_an_epoch_ends_the_same, Fixture) {
    run(temporary.path() / "whole", tiny_options(), false);
    for (Index epoch = 1; epoch < 5; ++epoch) {
        const fs::path before = temporary.path() / ("before" + std::to_string(epoch));
        const fs::path after = temporary.path() / ("after" + std::to_string(epoch));
        run(before, tiny_options(), false, epoch);
        run(after, tiny_options(), false, epoch + 1);
        const std::vector<std::vector<const char*>> written_before_the_kill{{"student.safetensors"},
                                                                            {"student.safetensors", "metrics.csv"}};
        for (const auto& written : written_before_the_kill) {
            fs::remove_all(folder);
            fs::copy(before, folder);
            for (const char* name : written)
                fs::copy_file(after / name, folder / name, fs::copy_options::overwrite_existing);
            // The file that was being written at that moment.
            const std::string next = written.size() == 1 ? "metrics.csv" : "last.safetensors";
            std::string half = contents_of(after / next);
            half.resize(half.size() / 2);
            temporary.write("run/" + next + ".partial", half);
            run(folder, tiny_options(), true);
            check_same_run(folder, temporary.path() / "whole");
        }
    }
}

BOOST_FIXTURE_TEST_CASE(a_run_killed_before_its_first_state_says_that_there_is_nothing_to_resume, Fixture) {
    run(folder, tiny_options(), false, 1);
    fs::remove(folder / "last.safetensors");
    BOOST_TEST(resume_refusal(folder, tiny_options()) ==
               (folder / "last.safetensors").string() +
                   ": no such file, so there is no run to resume; leave out --resume");
}

BOOST_FIXTURE_TEST_CASE(every_option_that_differs_is_refused_by_its_name, Fixture) {
    run(folder, tiny_options(), false, 2);
    const std::vector<std::pair<std::string, std::function<void(TrainingOptions&)>>> changes{
        {"epochs 5, this one has 6", [](auto& o) { o.epochs = 6; }},
        {"batch_size 8, this one has 9", [](auto& o) { o.batch_size = 9; }},
        {"optimizer sgd, this one has adamw", [](auto& o) { o.optimizer = bantam::OptimizerKind::adamw; }},
        {"learning_rate 0.1, this one has 0.05", [](auto& o) { o.learning_rate = 0.05; }},
        {"momentum 0.9, this one has 0.8", [](auto& o) { o.momentum = 0.8; }},
        {"weight_decay ", [](auto& o) { o.weight_decay = 0; }},
        {"beta1 0.9, this one has 0.8", [](auto& o) { o.beta1 = 0.8; }},
        {"beta2 0.999, this one has 0.99", [](auto& o) { o.beta2 = 0.99; }},
        {"epsilon ", [](auto& o) { o.epsilon = 1e-7; }},
        {"warmup_epochs 1, this one has 0.5", [](auto& o) { o.warmup_epochs = 0.5; }},
        {"final_learning_rate_fraction ", [](auto& o) { o.final_learning_rate_fraction = 0; }},
        {"temperature 4, this one has 5", [](auto& o) { o.temperature = 5; }},
        {"alpha 0.7, this one has 0.6", [](auto& o) { o.alpha = 0.6; }},
        {"label_smoothing 0, this one has 0.1", [](auto& o) { o.label_smoothing = 0.1; }},
        {"clip_norm 5, this one has 0", [](auto& o) { o.clip_norm = 0; }},
        {"averaging_decay 0.9, this one has 0", [](auto& o) { o.averaging_decay = 0; }},
        {"seed 3, this one has 4", [](auto& o) { o.seed = 4; }},
        {"allow_tf32 false, this one has true", [](auto& o) { o.allow_tf32 = true; }},
    };
    BOOST_TEST(changes.size() == bantam::described(tiny_options()).size());
    for (const auto& [named, change] : changes) {
        TrainingOptions options = tiny_options();
        change(options);
        const std::string message = resume_refusal(folder, options);
        BOOST_TEST(message.starts_with((folder / "last.safetensors").string() + ": the interrupted run had " + named),
                   message);
        BOOST_TEST(message.ends_with("; resume with the same options or start anew"), message);
    }
    BOOST_TEST(resume_refusal(folder, tiny_options()) == "nothing was thrown");
}

BOOST_FIXTURE_TEST_CASE(a_difference_in_the_last_bit_of_an_option_is_detected, Fixture) {
    run(folder, tiny_options(), false, 1);
    TrainingOptions options = tiny_options();
    options.learning_rate = std::nextafter(options.learning_rate, 1.0);
    BOOST_TEST(contains(resume_refusal(folder, options), "learning_rate 0.1, this one has 0.10000000000000002"));
}

BOOST_FIXTURE_TEST_CASE(other_pictures_or_another_teacher_are_refused_by_name, Fixture) {
    run(folder, tiny_options(), false, 1);
    Metadata other = identity;
    other["teacher_logits"] = "none";
    BOOST_TEST(contains(resume_refusal(folder, tiny_options(), other),
                        "the interrupted run had teacher_logits f00d, this one has none"));
    other = identity;
    other["pictures"] = "beef";
    BOOST_TEST(contains(resume_refusal(folder, tiny_options(), other),
                        "the interrupted run had pictures d00d, this one has beef"));
}

BOOST_FIXTURE_TEST_CASE(a_damaged_state_is_refused_by_its_name, Fixture) {
    run(folder, tiny_options(), false, 2);
    const std::string whole = contents_of(folder / "last.safetensors");
    temporary.write("run/last.safetensors", whole.substr(0, whole.size() - 1));
    BOOST_TEST(contains(resume_refusal(folder, tiny_options()),
                        (folder / "last.safetensors").string() + ": is not a sound safetensors file"));
    fs::copy_file(folder / "student.safetensors", folder / "last.safetensors", fs::copy_options::overwrite_existing);
    BOOST_TEST(contains(resume_refusal(folder, tiny_options()),
                        "has format 'bantam-checkpoint/1', expected 'bantam-training-state/2'; start the run anew"));
    std::string altered = whole;
    const std::size_t place = altered.find("\"epoch\":\"2\"");
    BOOST_TEST_REQUIRE(place != std::string::npos);
    altered[place + 9] = 'x';
    temporary.write("run/last.safetensors", altered);
    BOOST_TEST(contains(resume_refusal(folder, tiny_options()), "its contents do not match its checksum"));
}

BOOST_FIXTURE_TEST_CASE(missing_rows_of_metrics_are_refused, Fixture) {
    run(folder, tiny_options(), false, 3);
    const std::string whole = contents_of(folder / "metrics.csv");
    temporary.write("run/metrics.csv", whole.substr(0, whole.find("\n2,") + 1));
    const std::string expected =
        (folder / "metrics.csv").string() + ": has 1 epochs, expected 3 as in last.safetensors; start the run anew";
    BOOST_TEST(resume_refusal(folder, tiny_options()) == expected);
    fs::remove(folder / "metrics.csv");
    BOOST_TEST(contains(resume_refusal(folder, tiny_options()), ": has 0 epochs, expected 3"));
}

BOOST_FIXTURE_TEST_CASE(each_rule_keeps_the_epoch_it_names_and_no_other, Fixture) {
    struct Epoch {
        double loss, accuracy;
        bool lowest_loss, highest_accuracy;
    };
    const std::vector<Epoch> epochs{{0.9, 0.5, true, true},
                                    {0.7, 0.4, true, false},
                                    {0.7, 0.6, false, true},
                                    {0.8, 0.6, false, false},
                                    {0.6, 0.1, true, false}};
    const SyntheticBatch batch = training_pictures().first_batch();
    for (const bantam::Keep keep : {bantam::Keep::loss, bantam::Keep::accuracy, bantam::Keep::last}) {
        TinyTrainer trainer{tiny_options()};
        const fs::path own_folder = folder / name(keep);
        RunFolder run_folder{own_folder, identity, keep};
        std::string student;
        Index number = 0;
        for (const Epoch& epoch : epochs) {
            trainer.step(batch, 1);
            const bool expected = keep == bantam::Keep::loss       ? epoch.lowest_loss
                                  : keep == bantam::Keep::accuracy ? epoch.highest_accuracy
                                                                   : true;
            const auto report = report_of(++number, epoch.accuracy, epoch.loss);
            BOOST_TEST(run_folder.finish_epoch<TinyNet>(trainer, report, student_metadata) == expected);
            const std::string found = contents_of(run_folder.student());
            BOOST_TEST((found != student) == expected);
            student = found;
        }
        TinyTrainer other{tiny_options()};
        RunFolder again{own_folder, identity, keep};
        again.resume(other);
        for (const RunFolder* state : {&run_folder, &again}) {
            BOOST_TEST(state->picked(bantam::Keep::loss).epoch == 5);
            BOOST_TEST(*state->picked(bantam::Keep::loss).loss == 0.6);
            BOOST_TEST(state->picked(bantam::Keep::accuracy).epoch == 3);
            BOOST_TEST(*state->picked(bantam::Keep::accuracy).accuracy == 0.6);
            BOOST_TEST(state->picked(bantam::Keep::last).epoch == 5);
            BOOST_TEST(state->finished_epochs() == 5);
        }
        BOOST_TEST(again.finish_epoch<TinyNet>(other, report_of(6, 0.6, 0.6), student_metadata) ==
                   (keep == bantam::Keep::last));
        RunFolder another{own_folder, identity, keep == bantam::Keep::last ? bantam::Keep::loss : bantam::Keep::last};
        BOOST_TEST(contains(message_of<Error>([&] { another.resume(other); }), "the interrupted run had keep "));
    }
}

BOOST_AUTO_TEST_CASE(keep_rules_have_names_and_accuracies_a_standard_error) {
    for (const bantam::Keep keep : {bantam::Keep::loss, bantam::Keep::accuracy, bantam::Keep::last})
        BOOST_TEST((bantam::keep_rule(name(keep)) == keep));
    BOOST_TEST(message_of<Error>([] { bantam::keep_rule("best"); }) ==
               "keep is \"best\"; it must be loss, accuracy or last");
    BOOST_TEST(std::abs(bantam::standard_error(0.85, 600) - 0.0145774) < 1e-6);
    BOOST_TEST(bantam::standard_error(0.85, 0) == 0.0);
}

BOOST_FIXTURE_TEST_CASE(the_student_kept_is_the_averaged_one, Fixture) {
    TinyTrainer trainer{tiny_options()};
    RunFolder run_folder{folder, identity};
    trainer.step(training_pictures().first_batch(), 1);
    run_folder.finish_epoch<TinyNet>(trainer, report_of(1, 0.5, 0.5), student_metadata);
    auto file = bantam::SafetensorsFile::open(run_folder.student());
    BOOST_TEST(file.metadata("classes") == student_metadata.at("classes"));
    std::vector<float> parameters(trainer.parameters().size()), statistics(trainer.statistics().size());
    bantam::read_network<TinyNet>(file, parameters, statistics);
    BOOST_TEST(parameters == std::vector<float>(trainer.parameters().begin(), trainer.parameters().end()));
    BOOST_TEST(statistics == std::vector<float>(trainer.statistics().begin(), trainer.statistics().end()));
}

BOOST_FIXTURE_TEST_CASE(absent_figures_are_empty_cells, Fixture) {
    TinyTrainer trainer{tiny_options()};
    RunFolder run_folder{folder, identity};
    run_folder.finish_epoch<TinyNet>(trainer, report_of(1, 0.25), student_metadata);
    const auto rows = lasting_columns(folder / "metrics.csv");
    BOOST_TEST(rows[1] == "1,0,,,,,,,0.25,,,");
}

BOOST_FIXTURE_TEST_CASE(a_file_that_cannot_be_written_leaves_the_old_student, Fixture) {
    run(folder, tiny_options(), false, 1);
    const std::string kept = contents_of(folder / "student.safetensors");
    TinyTrainer trainer{tiny_options()};
    RunFolder run_folder{folder, identity};
    fs::create_directory(folder / "student.safetensors.partial");
    const std::string message =
        message_of<Error>([&] { run_folder.finish_epoch<TinyNet>(trainer, report_of(1, 0.9, 0.1), student_metadata); });
    BOOST_TEST(message.starts_with((folder / "student.safetensors").string() + ": cannot be created: "), message);
    BOOST_TEST(contents_of(folder / "student.safetensors") == kept);
}

BOOST_FIXTURE_TEST_CASE(predictions_are_one_row_per_picture_in_the_given_order, Fixture) {
    const RunFolder run_folder{folder, identity};
    run_folder.write_predictions({4, 0, 10});
    BOOST_TEST(contents_of(run_folder.predictions()) == "Id,Category\n0,4\n1,0\n2,10\n");
    run_folder.write_text("summary.txt", "hello\n");
    BOOST_TEST(contents_of(folder / "summary.txt") == "hello\n");
}

BOOST_FIXTURE_TEST_CASE(an_output_folder_is_made_and_a_bad_one_is_named, Fixture) {
    const RunFolder made{temporary.path() / "a/b/c", identity};
    BOOST_TEST(fs::is_directory(temporary.path() / "a/b/c"));
    const fs::path file = temporary.write("file", "x");
    BOOST_TEST(message_of<Error>([&] {
                   RunFolder{file, identity};
               }).starts_with(file.string() + ": cannot be used as an output folder: "));
    BOOST_TEST(message_of<Error>([&] {
                   RunFolder{file / "below", identity};
               }).starts_with((file / "below").string() + ": cannot be used as an output folder: "));
}
