// SPDX-License-Identifier: MIT
#define BOOST_TEST_MODULE run_folder
#include <boost/test/unit_test.hpp>

#include "bantam/bantam.hpp"
#include "bantam/base/index.hpp"
#include "bantam/train/run_folder.hpp"

#include "io/temporary_folder.hpp"
#include "train/synthetic_pictures.hpp"

#include <algorithm>
#include <clocale>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace bantam_test;
using bantam::EpochReport;
using bantam::Error;
using bantam::Index;
using bantam::Metadata;
using bantam::Progress;
using bantam::RunFolder;
using bantam::TrainingOptions;
using bantam::TrainingPosition;
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

/// Trains in `folder` until the run is complete or, as if killed, right after epoch `last_epoch` or after its state was
/// saved in step `last_step`.
void run(const fs::path& folder, const TrainingOptions& options, bool resume, Index last_epoch = 1000,
         Index last_step = 1000) {
    struct Killed {};
    TinyTrainer trainer{options};
    RunFolder run_folder{folder, identity};
    if (resume) BOOST_TEST(run_folder.resume(trainer).empty());
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> stream{std::tmpfile(), std::fclose};
    try {
        bantam::fit(
            trainer, training_pictures(), validation_pictures(), run_folder.position(), stream.get(),
            [&](const EpochReport& report, Progress&) {
                run_folder.finish_epoch<TinyNet>(trainer, report, student_metadata);
                if (report.epoch == last_epoch) throw Killed{};
            },
            [&](const TrainingPosition& position) {
                if (trainer.steps() != last_step) return;
                run_folder.save(trainer, position);
                throw Killed{};
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

/// Writes a file again with other metadata and, perhaps, other values of its last tensor.
void rewrite(const fs::path& path, const std::function<void(Metadata&)>& change,
             const std::function<void(std::vector<float>&)>& change_values = {}) {
    auto file = bantam::SafetensorsFile::open(path);
    Metadata metadata = file.metadata();
    change(metadata);
    std::vector<std::vector<float>> values;
    for (const auto& entry : file.tensors()) values.push_back(file.tensor<float>(entry.name));
    if (change_values) change_values(values.back());
    std::vector<bantam::TensorView> tensors;
    for (std::size_t i = 0; i < values.size(); ++i)
        tensors.emplace_back(file.tensors()[i].name, file.tensors()[i].shape, values[i]);
    bantam::write_safetensors(path, tensors, metadata);
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
               "validation_teacher_agreement,validation_distillation_loss,training_kl_divergence,"
               "validation_kl_divergence");
    for (std::size_t epoch = 1; epoch <= 5; ++epoch) {
        BOOST_TEST(rows[epoch].starts_with(std::to_string(epoch) + ','));
        BOOST_TEST(std::ranges::count(rows[epoch], ',') == std::ranges::count(rows[0], ','));
        BOOST_TEST(!contains(rows[epoch], ",,"));
    }
    BOOST_TEST(contents_of(folder / "metrics.csv").substr(rows[0].size(), 27) == ",images_per_second,seconds\n");
    BOOST_TEST(entry_count(folder) == 4U);
}

BOOST_FIXTURE_TEST_CASE(a_resumed_run_ends_with_the_bits_of_an_uninterrupted_one, Fixture) {
    for (const auto optimizer : {bantam::OptimizerKind::sgd, bantam::OptimizerKind::adamw, bantam::OptimizerKind::muon})
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
            if (written.size() == 2) {  // one more row, and the times of this run in the others
                const std::string rows = contents_of(after / "metrics.csv");
                const std::size_t last = rows.rfind('\n', rows.size() - 2) + 1;
                temporary.write("run/metrics.csv", contents_of(before / "metrics.csv") + rows.substr(last));
            }
            // The file that was being written at that moment.
            const std::string next = written.size() == 1 ? "metrics.csv" : "last.safetensors";
            std::string half = contents_of(after / next);
            half.resize(half.size() / 2);
            temporary.write("run/" + next + ".0123456789abcdef.partial", half);
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
        {"lookahead_steps 0, this one has 5", [](auto& o) { o.lookahead_steps = 5; }},
        {"lookahead_alpha 0.5, this one has 0.8", [](auto& o) { o.lookahead_alpha = 0.8; }},
        {"warmup_epochs 1, this one has 0.5", [](auto& o) { o.warmup_epochs = 0.5; }},
        {"final_learning_rate_fraction ", [](auto& o) { o.final_learning_rate_fraction = 0; }},
        {"distillation kl, this one has dkd", [](auto& o) { o.distillation = bantam::Distillation::dkd; }},
        {"standardize_logits false, this one has true", [](auto& o) { o.standardize_logits = true; }},
        {"dkd_alpha 1, this one has 2", [](auto& o) { o.dkd_alpha = 2; }},
        {"dkd_beta 8, this one has 4", [](auto& o) { o.dkd_beta = 4; }},
        {"alpha_where_wrong alpha, this one has 0", [](auto& o) { o.alpha_where_wrong = 0; }},
        {"temperature 4, this one has 5", [](auto& o) { o.temperature = 5; }},
        {"alpha 0.7, this one has 0.6", [](auto& o) { o.alpha = 0.6; }},
        {"label_smoothing 0, this one has 0.1", [](auto& o) { o.label_smoothing = 0.1; }},
        {"labeled_weight 1, this one has 2", [](auto& o) { o.labeled_weight = 2; }},
        {"unlabeled_weight 1, this one has 0.5", [](auto& o) { o.unlabeled_weight = 0.5; }},
        {"mixed_weight 1, this one has 0", [](auto& o) { o.mixed_weight = 0; }},
        {"clip_norm 5, this one has 0", [](auto& o) { o.clip_norm = 0; }},
        {"averaging_decay 0.9, this one has 0", [](auto& o) { o.averaging_decay = 0; }},
        {"near_identity_depthwise false, this one has true", [](auto& o) { o.near_identity_depthwise = true; }},
        {"zero_residual_norms false, this one has true", [](auto& o) { o.zero_residual_norms = true; }},
        {"seed 3, this one has 4", [](auto& o) { o.seed = 4; }},
        {"flip random, this one has alternating", [](auto& o) { o.alternating_flip = true; }},
        {"allow_tf32 false, this one has true", [](auto& o) { o.allow_tf32 = true; }},
        {"norm_ranks 1, this one has 2", [](auto& o) { o.norm_ranks = 2; }},
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
                        "has format 'bantam-checkpoint/1', expected 'bantam-training-state/3'; start the run anew"));
    std::string altered = whole;
    const std::size_t place = altered.find("\"epoch\":\"2\"");
    BOOST_TEST_REQUIRE(place != std::string::npos);
    altered[place + 9] = 'x';
    temporary.write("run/last.safetensors", altered);
    BOOST_TEST(contains(resume_refusal(folder, tiny_options()), "its contents do not match its checksum"));
}

BOOST_FIXTURE_TEST_CASE(counters_out_of_range_are_refused, Fixture) {
    run(folder, tiny_options(), false, 1000, 6);
    const std::string whole = contents_of(folder / "last.safetensors");
    for (const auto& [key, values] : std::vector<std::pair<std::string, std::vector<std::string>>>{
             {"epoch", {"x", "", "-1", "1.5", "6", "99999999999999999999"}},
             {"batch", {"-1", "1e3", "9999999999999999"}},
             {"steps", {"-1", "nan"}},
             {"lowest_loss_epoch", {"2", "-1"}},
             {"lowest_loss_loss", {"nan", "inf", "1e999"}},
             {"highest_accuracy_accuracy", {"1.5", "-0.5", "nan"}},
             {"loss_sums", {"", "1", "nan 0 0 0 0 0 0 0", "0 0 0 0 0 0 0", "0 0 0 0 0 0 0 0 x"}}})
        for (const std::string& value : values) {
            temporary.write("run/last.safetensors", whole);
            rewrite(folder / "last.safetensors", [&](Metadata& metadata) { metadata.at(key) = value; });
            const std::string message = resume_refusal(folder, tiny_options());
            BOOST_TEST(message.starts_with((folder / "last.safetensors").string() + ": its metadata holds '"), message);
            BOOST_TEST(message.ends_with("' where a number of a run belongs; start the run anew"), message);
        }
}

BOOST_FIXTURE_TEST_CASE(a_state_that_is_not_finite_is_refused, Fixture) {
    run(folder, tiny_options(), false, 1);
    rewrite(
        folder / "last.safetensors", [](Metadata&) {},
        [](std::vector<float>& values) { values.back() = std::numeric_limits<float>::quiet_NaN(); });
    BOOST_TEST(contains(resume_refusal(folder, tiny_options()), "holds a number that is not finite"));
}

BOOST_FIXTURE_TEST_CASE(a_state_of_the_older_format_can_be_resumed, Fixture) {
    run(temporary.path() / "whole", tiny_options(), false);
    run(folder, tiny_options(), false, 3);
    rewrite(folder / "last.safetensors", [](Metadata& metadata) {
        metadata.at("format") = "bantam-training-state/2";
        for (const char* key : {"batch", "loss_sums", "student", "metrics", "build"})
            BOOST_TEST(metadata.erase(key) == 1U);
    });
    run(folder, tiny_options(), true);
    check_same_run(folder, temporary.path() / "whole");
}

BOOST_FIXTURE_TEST_CASE(a_state_that_is_older_than_an_option_had_its_default, Fixture) {
    run(temporary.path() / "whole", tiny_options(), false);
    run(folder, tiny_options(), false, 1000, 7);
    rewrite(folder / "last.safetensors",
            [](Metadata& metadata) { BOOST_TEST(metadata.erase("unlabeled_weight") == 1U); });
    TrainingOptions other = tiny_options();
    other.unlabeled_weight = 2;
    BOOST_TEST(contains(resume_refusal(folder, other), "the interrupted run had unlabeled_weight 1, this one has 2"));
    run(folder, tiny_options(), true);
    check_same_run(folder, temporary.path() / "whole");
}

namespace {

/// The first `count` of a row's columns, and as many as are left out at the end.
std::string without_columns(const std::string& row, std::ptrdiff_t from, std::ptrdiff_t count) {
    std::string text;
    std::istringstream columns{row};
    std::ptrdiff_t index = 0;
    for (std::string column; std::getline(columns, column, ','); ++index)
        if (index < from || index >= from + count) text += (index > 0 ? "," : "") + column;
    return text + (row.ends_with(',') ? "," : "");
}

}  // namespace

BOOST_FIXTURE_TEST_CASE(a_state_from_before_the_divergences_is_resumed_with_its_metrics, Fixture) {
    TrainingOptions options = tiny_options();
    options.temperature = 3;
    run(folder, options, false, 1000, 7);
    const auto before = [](const std::string& table) {
        std::string text;
        std::istringstream rows{table};
        for (std::string row; std::getline(rows, row);) text += without_columns(row, 12, 2) + '\n';
        return text;
    };
    fs::remove(folder / "checksums.txt");
    temporary.write("run/metrics.csv", before(contents_of(folder / "metrics.csv")));
    rewrite(folder / "last.safetensors", [&](Metadata& metadata) {
        for (const char* option : {"distillation", "standardize_logits", "alpha_where_wrong", "labeled_weight"})
            BOOST_TEST(metadata.erase(option) == 1U);
        metadata.at("metrics") = before(metadata.at("metrics"));
        // The sums of that time: without the samples' weight and divergence.
        std::string& sums = metadata.at("loss_sums");
        std::size_t end = 0;
        for (int figure = 0; figure < 8; ++figure) end = sums.find(' ', end) + 1;
        BOOST_TEST_REQUIRE(end < sums.size());
        sums.resize(end);
    });
    TinyTrainer trainer{options};
    RunFolder run_folder{folder, identity};
    const auto warnings = run_folder.resume(trainer);
    BOOST_TEST_REQUIRE(warnings.size() == 2U);
    BOOST_TEST(contains(warnings[0], "measured with the temperature and alpha of the run"));
    BOOST_TEST(contains(warnings[1], "was saved without training_kl_divergence, which lacks the epoch's first "));
    BOOST_TEST(!run_folder.picked(bantam::Keep::loss).loss.has_value());
    BOOST_TEST(run_folder.picked(bantam::Keep::accuracy).accuracy.has_value());
    const bantam::LossSums& sums = run_folder.position().sums;
    BOOST_TEST(sums.count > 0);
    BOOST_TEST(sums.weight == static_cast<double>(sums.count));
    // The next epoch is the one of the lowest loss, and the rows have all columns.
    BOOST_TEST(run_folder.finish_epoch<TinyNet>(trainer, report_of(2, 0.5, 100.0), student_metadata));
    const auto rows = lasting_columns(folder / "metrics.csv");
    BOOST_TEST_REQUIRE(rows.size() == 3U);
    BOOST_TEST(rows[0].ends_with(",training_kl_divergence,validation_kl_divergence"));
    for (const std::string& row : rows) BOOST_TEST(std::ranges::count(row, ',') == 13);
    BOOST_TEST(rows[1].ends_with(",,"));
    BOOST_TEST(!contains(rows[1].substr(0, rows[1].size() - 2), ",,"));
}

BOOST_FIXTURE_TEST_CASE(a_run_saved_after_any_step_ends_with_the_bits_of_an_uninterrupted_one, Fixture) {
    run(temporary.path() / "whole", tiny_options(), false);
    for (Index step = 1; step <= 3 * training_pictures().batch_count(); ++step) {
        fs::remove_all(folder);
        run(folder, tiny_options(), false, 1000, step);
        run(folder, tiny_options(), true);
        check_same_run(folder, temporary.path() / "whole");
    }
}

BOOST_FIXTURE_TEST_CASE(a_missing_or_damaged_metrics_file_is_restored_without_its_times, Fixture) {
    run(temporary.path() / "whole", tiny_options(), false);
    run(folder, tiny_options(), false, 3);
    const std::string whole = contents_of(folder / "metrics.csv");
    std::string flipped = whole;
    flipped[whole.find("\n2,") + 5] ^= 1;
    std::string other_header = whole;
    other_header[1] ^= 1;
    for (const std::string& left : {std::string{}, whole.substr(0, whole.find("\n2,") + 1), flipped, other_header}) {
        temporary.write("run/metrics.csv", left);
        if (left.empty()) fs::remove(folder / "metrics.csv");
        TinyTrainer trainer{tiny_options()};
        const auto warnings = RunFolder{folder, identity}.resume(trainer);
        BOOST_TEST_REQUIRE(warnings.size() == 1U);
        BOOST_TEST(warnings[0].starts_with((folder / "metrics.csv").string() + ": lacked rows"), warnings[0]);
        BOOST_TEST(lasting_columns(folder / "metrics.csv").size() == 4U);
    }
    run(folder, tiny_options(), true);
    check_same_run(folder, temporary.path() / "whole");
}

BOOST_FIXTURE_TEST_CASE(a_flipped_bit_in_any_file_of_a_finished_run_is_noticed, Fixture) {
    run(folder, tiny_options(), false, 2);
    {
        const RunFolder run_folder{folder, identity};
        run_folder.write_predictions({2, 0, 1});
        run_folder.write_text("summary.txt", "hello\n");
        run_folder.write_checksums({"student.safetensors", "metrics.csv", "predict.csv", "summary.txt", "absent"});
        BOOST_TEST(run_folder.changed_files().empty());
    }
    BOOST_TEST(!contains(contents_of(folder / "checksums.txt"), "absent"));
    const std::map<std::string, std::size_t> steps{
        {"checksums.txt", 1}, {"metrics.csv", 7}, {"predict.csv", 1}, {"student.safetensors", 501}, {"summary.txt", 1}};
    for (const auto& [name, step] : steps) {
        const std::string whole = contents_of(folder / name);
        for (std::size_t bit = 0; bit < 8 * whole.size(); bit += step) {
            std::string flipped = whole;
            flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
            temporary.write("run/" + name, flipped);
            // A flipped bit of checksums.txt is seen in another file's name or hash, or names the line.
            const auto changed = RunFolder{folder, identity}.changed_files();
            BOOST_TEST_REQUIRE(!changed.empty(), name << " bit " << bit);
            if (name != "checksums.txt") BOOST_TEST(changed[0].starts_with((folder / name).string() + ": was changed"));
        }
        temporary.write("run/" + name, whole);
    }
    fs::remove(folder / "summary.txt");
    TinyTrainer trainer{tiny_options()};
    BOOST_TEST(
        RunFolder(folder, identity).resume(trainer) ==
        std::vector<std::string>{(folder / "summary.txt").string() + ": is missing, though checksums.txt lists it"});
}

BOOST_FIXTURE_TEST_CASE(flipped_times_of_an_interrupted_run_are_noticed, Fixture) {
    run(folder, tiny_options(), false, 2);
    const std::string two = contents_of(folder / "metrics.csv");
    BOOST_TEST(contents_of(folder / "checksums.txt") == bantam::hash_file(folder / "metrics.csv") + "  metrics.csv\n");
    // Killed between metrics.csv and checksums.txt: the third row is not in it.
    temporary.write("run/metrics.csv", two + two.substr(two.find("\n2,") + 1));
    BOOST_TEST(RunFolder(folder, identity).changed_files().empty());
    std::string flipped = two;
    flipped[flipped.size() - 2] ^= 1;
    temporary.write("run/metrics.csv", flipped);
    TinyTrainer trainer{tiny_options()};
    BOOST_TEST(
        RunFolder(folder, identity).resume(trainer) ==
        std::vector<std::string>{(folder / "metrics.csv").string() +
                                 ": was changed or damaged after it was written: checksums.txt has another hash"});
}

BOOST_FIXTURE_TEST_CASE(a_student_of_another_run_beside_the_state_is_refused, Fixture) {
    run(folder, tiny_options(), false, 2);
    TrainingOptions other = tiny_options();
    other.seed = 4;
    for (const Index epoch : {1, 3}) {
        fs::remove_all(temporary.path() / "other");
        run(temporary.path() / "other", other, false, epoch);
        fs::copy_file(temporary.path() / "other/student.safetensors", folder / "student.safetensors",
                      fs::copy_options::overwrite_existing);
        BOOST_TEST(resume_refusal(folder, tiny_options()) ==
                   (folder / "student.safetensors").string() +
                       ": is not the student that belongs to last.safetensors; put back the student of this run, or "
                       "start the run anew");
    }
    fs::remove(folder / "student.safetensors");
    BOOST_TEST(contains(resume_refusal(folder, tiny_options()), ": is missing beside last.safetensors; "));
}

BOOST_FIXTURE_TEST_CASE(a_student_that_was_lost_to_another_build_is_named, Fixture) {
    run(folder, tiny_options(), false, 1);
    fs::copy(folder, temporary.path() / "ahead");
    run(temporary.path() / "ahead", tiny_options(), true, 2);
    fs::copy_file(temporary.path() / "ahead/student.safetensors", folder / "student.safetensors",
                  fs::copy_options::overwrite_existing);
    TinyTrainer trainer{tiny_options()};
    RunFolder run_folder{folder, identity};
    BOOST_TEST(run_folder.resume(trainer).empty());
    // The repeated epoch is worse this time, so that it is not kept.
    BOOST_TEST(contains(message_of<Error>([&] {
                            run_folder.finish_epoch<TinyNet>(trainer, report_of(2, 0.0, 100.0), student_metadata);
                        }),
                        "which now gives another result, as in another build"));
}

BOOST_FIXTURE_TEST_CASE(another_build_is_named_on_resuming, Fixture) {
    run(folder, tiny_options(), false, 2);
    const std::string here = bantam::build_text(TinyTrainer::backend());
    BOOST_TEST(contains(here, std::string{"bantam "} + bantam::version + ", "));
    BOOST_TEST(contains(here, ", CPU with Eigen "));
    rewrite(folder / "last.safetensors", [&](Metadata& metadata) {
        BOOST_TEST(metadata.at("build") == here);
        metadata.at("build") = "bantam 0.0.9, g++ 11";
    });
    TinyTrainer trainer{tiny_options()};
    const auto warnings = RunFolder{folder, identity}.resume(trainer);
    BOOST_TEST_REQUIRE(warnings.size() == 1U);
    BOOST_TEST(contains(warnings[0], ": the run was begun by another build (bantam 0.0.9, g++ 11; this is " + here));
}

BOOST_FIXTURE_TEST_CASE(a_folder_belongs_to_one_run_at_a_time, Fixture) {
    const std::string me = "process " + std::to_string(getpid()) + " on ";
    {
        RunFolder first{folder, identity};
        const std::string message = message_of<Error>([&] { RunFolder{folder, identity}; });
        BOOST_TEST(message.starts_with(folder.string() + ": is in use by " + me), message);
        BOOST_TEST(message.ends_with("; wait until it has ended, or choose another output folder"), message);
        RunFolder moved{std::move(first)};
        BOOST_TEST(contains(message_of<Error>([&] { RunFolder{folder, identity}; }), "is in use by"));
    }
    BOOST_TEST(entry_count(folder) == 0U);

    const pid_t child = fork();
    if (child == 0) {
        const RunFolder held{folder, identity};
        temporary.write("held", "");
        pause();
    }
    while (!fs::exists(temporary.path() / "held")) usleep(1000);
    BOOST_TEST(contains(message_of<Error>([&] { RunFolder{folder, identity}; }),
                        "is in use by process " + std::to_string(child) + " on "));
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    const RunFolder after_the_kill{folder, identity};
}

BOOST_FIXTURE_TEST_CASE(the_locale_of_the_process_changes_no_byte, Fixture) {
    const std::string command =
        "localedef -i de_DE -f UTF-8 " + (temporary.path() / "de_DE.UTF-8").string() + " > /dev/null 2>&1";
    BOOST_TEST(std::system(command.c_str()) == 0, "the package `locales` is missing");
    setenv("LOCPATH", temporary.path().c_str(), 1);
    run(temporary.path() / "whole", tiny_options(), false);
    BOOST_TEST_REQUIRE(std::setlocale(LC_ALL, "de_DE.UTF-8") != nullptr);
    char comma[8];
    std::snprintf(comma, sizeof comma, "%.1f", 0.5);
    BOOST_TEST(std::string{comma} == "0,5");
    run(folder, tiny_options(), false, 1000, 6);
    run(folder, tiny_options(), true);
    std::setlocale(LC_ALL, "C");
    check_same_run(folder, temporary.path() / "whole");
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
        std::optional<RunFolder> run_folder{std::in_place, own_folder, identity, keep};
        std::string student;
        Index number = 0;
        for (const Epoch& epoch : epochs) {
            trainer.step(batch, 1);
            const bool expected = keep == bantam::Keep::loss       ? epoch.lowest_loss
                                  : keep == bantam::Keep::accuracy ? epoch.highest_accuracy
                                                                   : true;
            const auto report = report_of(++number, epoch.accuracy, epoch.loss);
            BOOST_TEST(run_folder->finish_epoch<TinyNet>(trainer, report, student_metadata) == expected);
            const std::string found = contents_of(run_folder->student());
            BOOST_TEST((found != student) == expected);
            student = found;
        }
        const auto check_picked = [&] {
            const RunFolder* const state = &*run_folder;
            BOOST_TEST(state->picked(bantam::Keep::loss).epoch == 5);
            BOOST_TEST(*state->picked(bantam::Keep::loss).loss == 0.6);
            BOOST_TEST(state->picked(bantam::Keep::accuracy).epoch == 3);
            BOOST_TEST(*state->picked(bantam::Keep::accuracy).accuracy == 0.6);
            BOOST_TEST(state->picked(bantam::Keep::last).epoch == 5);
            BOOST_TEST(state->finished_epochs() == 5);
        };
        check_picked();
        TinyTrainer other{tiny_options()};
        run_folder.reset();
        run_folder.emplace(own_folder, identity, keep);
        run_folder->resume(other);
        check_picked();
        BOOST_TEST(run_folder->finish_epoch<TinyNet>(other, report_of(6, 0.6, 0.6), student_metadata) ==
                   (keep == bantam::Keep::last));
        run_folder->identify(identity, keep == bantam::Keep::last ? bantam::Keep::loss : bantam::Keep::last);
        BOOST_TEST(contains(message_of<Error>([&] { run_folder->resume(other); }), "the interrupted run had keep "));
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
    BOOST_TEST(rows[1] == "1,0,,,,,,,0.25,,,,,");
}

BOOST_FIXTURE_TEST_CASE(a_file_that_cannot_be_written_leaves_the_old_student, Fixture) {
    run(folder, tiny_options(), false, 1);
    const std::string kept = contents_of(folder / "student.safetensors");
    TinyTrainer trainer{tiny_options()};
    RunFolder run_folder{folder, identity};
    rlimit before{};
    BOOST_REQUIRE(getrlimit(RLIMIT_FSIZE, &before) == 0);
    const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
    rlimit small = before;
    small.rlim_cur = 100;
    BOOST_REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
    const std::string message =
        message_of<Error>([&] { run_folder.finish_epoch<TinyNet>(trainer, report_of(1, 0.9, 0.1), student_metadata); });
    BOOST_REQUIRE(setrlimit(RLIMIT_FSIZE, &before) == 0);
    std::signal(SIGXFSZ, old_handler);
    BOOST_TEST(message.starts_with((folder / "student.safetensors").string() + ": could not be written completely: "),
               message);
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
