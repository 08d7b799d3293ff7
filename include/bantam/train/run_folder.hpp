// SPDX-License-Identifier: MIT
// Needs nlohmann/json and xxhash (see io/safetensors.hpp).
#pragma once

#include <bantam/base/error.hpp>
#include <bantam/base/index.hpp>
#include <bantam/core/network.hpp>
#include <bantam/io/atomic_file.hpp>
#include <bantam/io/checkpoint.hpp>
#include <bantam/io/safetensors.hpp>
#include <bantam/train/fit.hpp>
#include <bantam/train/options.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bantam {

/// Which epoch's student a run keeps: the one of the lowest validation loss, of the highest validation accuracy,
/// or the last one. On a few hundred pictures the loss is the steadier choice: an accuracy's maximum over many
/// epochs is mostly noise.
enum class Keep { loss, accuracy, last };

constexpr const char* name(Keep keep) {
    return keep == Keep::loss ? "loss" : keep == Keep::accuracy ? "accuracy" : "last";
}

/// "loss", "accuracy" or "last"; throws Error on anything else.
inline Keep keep_rule(std::string_view text) {
    for (const Keep keep : {Keep::loss, Keep::accuracy, Keep::last})
        if (text == name(keep)) return keep;
    throw Error{"keep is \"" + std::string{text} + "\"; it must be loss, accuracy or last"};
}

/// The standard error of an accuracy that was measured on `count` pictures: √(p · (1 − p) / count).
inline double standard_error(double accuracy, Index count) {
    return count > 0 ? std::sqrt(accuracy * (1 - accuracy) / static_cast<double>(count)) : 0.0;
}

/// An epoch that a keep rule picks, with its validation figures.
struct EpochScore {
    Index epoch = 0;  ///< counted from 1; 0 where there is none yet
    std::optional<double> loss, accuracy;
};

/// The output folder of a training run: `student.safetensors` (the kept epoch's), `last.safetensors`
/// (to resume), `metrics.csv` (one row per epoch), `predict.csv`. Every file appears complete or not at
/// all, so that a run killed at any moment can be resumed after its last finished epoch.
class RunFolder {
public:
    /// Creates the folder where it is missing; throws Error where files cannot be written to it.
    /// `identity` names what a resumed run must share with the interrupted one, such as a fingerprint
    /// of the data.
    RunFolder(std::filesystem::path folder, Metadata identity, Keep keep = Keep::loss)
        : folder_{std::move(folder)}, identity_{std::move(identity)}, keep_{keep} {
        identity_["keep"] = name(keep);
        std::error_code cause;
        std::filesystem::create_directories(folder_, cause);
        if (cause || !std::filesystem::is_directory(folder_))
            throw Error{folder_.string() + ": cannot be used as an output folder: " +
                        (cause ? cause.message() : "it is a file") + "; choose another one"};
        // Fails now, not after an epoch, where files cannot be written.
        AtomicFile{last()};
    }

    std::filesystem::path student() const { return folder_ / "student.safetensors"; }
    std::filesystem::path last() const { return folder_ / "last.safetensors"; }
    std::filesystem::path metrics() const { return folder_ / "metrics.csv"; }
    std::filesystem::path predictions() const { return folder_ / "predict.csv"; }

    Index finished_epochs() const { return finished_epochs_; }
    /// The epoch that `keep` picks of those finished so far.
    const EpochScore& picked(Keep keep) const { return picked_[static_cast<std::size_t>(keep)]; }

    /// Records a finished epoch: writes the student if the keep rule picks it, then the metrics, then the state to
    /// resume from. Returns whether the student was kept. Throws Error naming a file that cannot be written.
    /// `tensors` is the table of the student's network.
    template <class Trainer>
    bool finish_epoch(std::span<const NamedTensor> tensors, Trainer& trainer, const EpochReport& report,
                      const Metadata& student_metadata) {
        finished_epochs_ = report.epoch;
        const EpochScore score{report.epoch, report.validation.loss, report.validation.accuracy};
        if (score.loss && (!picked(Keep::loss).loss || *score.loss < *picked(Keep::loss).loss)) pick(Keep::loss, score);
        if (score.accuracy && (!picked(Keep::accuracy).accuracy || *score.accuracy > *picked(Keep::accuracy).accuracy))
            pick(Keep::accuracy, score);
        pick(Keep::last, score);
        const bool kept = picked(keep_).epoch == report.epoch;
        if (kept) write_network(student(), tensors, trainer.parameters(), trainer.statistics(), student_metadata);
        rows_.push_back(row(report));
        write_metrics();
        write_last(trainer);
        return kept;
    }

    template <class Net, class Trainer>
    bool finish_epoch(Trainer& trainer, const EpochReport& report, const Metadata& student_metadata) {
        return finish_epoch(tensor_table<Net>, trainer, report, student_metadata);
    }

    /// Resumes an interrupted run: restores the trainer, the picked epochs and the metrics. Throws Error where
    /// there is no run to resume, or its options or identity differ, apart from those named in `may_differ`.
    template <class Trainer>
    void resume(Trainer& trainer, const std::set<std::string>& may_differ = {}) {
        if (!std::filesystem::exists(last()))
            throw Error{last().string() + ": no such file, so there is no run to resume; leave out --resume"};
        SafetensorsFile file = SafetensorsFile::open(last());
        if (file.metadata("format") != resume_format)
            throw Error{last().string() + ": has format '" + file.metadata("format") + "', expected '" + resume_format +
                        "'; start the run anew"};
        for (const auto& [key, value] : run_identity(trainer))
            if (!may_differ.contains(key) && file.metadata(key) != value)
                throw Error{last().string() + ": the interrupted run had " + key + " " + file.metadata(key) +
                            ", this one has " + value + "; resume with the same options or start anew"};
        for (const auto& state : trainer.state()) file.read(state.name, state.values);
        trainer.restored(whole_number(file, "steps"));
        finished_epochs_ = whole_number(file, "epoch");
        for (const auto& [keep, key] : score_keys)
            pick(keep, {.epoch = whole_number(file, (std::string{key} + "_epoch").c_str()),
                        .loss = optional_number(file, std::string{key} + "_loss"),
                        .accuracy = optional_number(file, std::string{key} + "_accuracy")});
        read_metrics();
    }

    /// Writes predict.csv: `Id,Category`, one row per picture in the given order; Id is its position, with leading
    /// zeros up to `id_digits`.
    void write_predictions(const std::vector<int>& categories, std::size_t id_digits = 1) const {
        AtomicFile file{predictions()};
        file.write("Id,Category\n");
        for (std::size_t id = 0; id < categories.size(); ++id) {
            const std::string digits = std::to_string(id);
            file.write(std::string(id_digits - std::min(id_digits, digits.size()), '0') + digits + ',' +
                       std::to_string(categories[id]) + '\n');
        }
        file.commit();
    }

    void write_text(const char* name, const std::string& text) const {
        AtomicFile file{folder_ / name};
        file.write(text);
        file.commit();
    }

private:
    static constexpr const char* resume_format = "bantam-training-state/2";
    /// How last.safetensors names the epochs that the rules pick.
    static constexpr std::array<std::pair<Keep, const char*>, 3> score_keys{
        {{Keep::loss, "lowest_loss"}, {Keep::accuracy, "highest_accuracy"}, {Keep::last, "latest"}}};
    static constexpr const char* header =
        "epoch,learning_rate,training_loss,training_accuracy,training_cross_entropy,training_teacher_agreement,"
        "training_distillation_loss,validation_loss,validation_accuracy,validation_cross_entropy,"
        "validation_teacher_agreement,validation_distillation_loss,images_per_second,seconds\n";

    static std::string text_of(std::optional<double> value, const char* format = "%.6g") {
        if (!value) return {};
        char text[40];
        std::snprintf(text, sizeof text, format, *value);
        return text;
    }

    static std::string row(const EpochReport& report) {
        std::string text = std::to_string(report.epoch) + ',' + text_of(report.learning_rate);
        for (const Metrics* metrics : {&report.training, &report.validation})
            for (const std::optional<double>& value : {metrics->loss, metrics->accuracy, metrics->cross_entropy,
                                                       metrics->teacher_agreement, metrics->distillation})
                text += ',' + text_of(value);
        return text + ',' + text_of(report.images_per_second, "%.1f") + ',' + text_of(report.seconds, "%.2f");
    }

    void write_metrics() const {
        AtomicFile file{metrics()};
        file.write(header);
        for (const std::string& line : rows_) file.write(line + '\n');
        file.commit();
    }

    // A run may have been stopped after metrics.csv and before last.safetensors: rows beyond the latter are dropped.
    void read_metrics() {
        std::ifstream stream{metrics()};
        std::string line;
        std::getline(stream, line);
        rows_.clear();
        while (static_cast<Index>(rows_.size()) < finished_epochs_ && std::getline(stream, line)) rows_.push_back(line);
        if (static_cast<Index>(rows_.size()) != finished_epochs_)
            throw Error{metrics().string() + ": has " + std::to_string(rows_.size()) + " epochs, expected " +
                        std::to_string(finished_epochs_) + " as in last.safetensors; start the run anew"};
    }

    template <class Trainer>
    Metadata run_identity(const Trainer& trainer) const {
        Metadata identity = identity_;
        for (auto& [key, value] : described(trainer.options())) identity[key] = value;
        return identity;
    }

    template <class Trainer>
    void write_last(Trainer& trainer) const {
        Metadata metadata = run_identity(trainer);
        metadata["format"] = resume_format;
        metadata["steps"] = std::to_string(trainer.steps());
        metadata["epoch"] = std::to_string(finished_epochs_);
        for (const auto& [keep, key] : score_keys) {
            const EpochScore& score = picked(keep);
            metadata[std::string{key} + "_epoch"] = std::to_string(score.epoch);
            metadata[std::string{key} + "_loss"] = text_of(score.loss, "%.17g");
            metadata[std::string{key} + "_accuracy"] = text_of(score.accuracy, "%.17g");
        }
        std::vector<TensorView> tensors;
        for (const auto& state : trainer.state())
            tensors.emplace_back(state.name, std::vector<Index>{static_cast<Index>(state.values.size())},
                                 std::span<const float>{state.values});
        write_safetensors(last(), tensors, metadata);
    }

    void pick(Keep keep, const EpochScore& score) { picked_[static_cast<std::size_t>(keep)] = score; }

    static double number(const SafetensorsFile& file, const std::string& text) {
        double value = 0;
        const auto [end, cause] = std::from_chars(text.data(), text.data() + text.size(), value);
        if (cause != std::errc{} || end != text.data() + text.size())
            throw Error{file.path().string() + ": its metadata holds '" + text +
                        "' where a number belongs; start the run anew"};
        return value;
    }
    static std::optional<double> optional_number(const SafetensorsFile& file, const std::string& key) {
        const std::string& text = file.metadata(key);
        return text.empty() ? std::nullopt : std::optional<double>{number(file, text)};
    }
    static Index whole_number(const SafetensorsFile& file, const char* key) {
        return static_cast<Index>(number(file, file.metadata(key)));
    }

    std::filesystem::path folder_;
    Metadata identity_;
    Index finished_epochs_ = 0;
    Keep keep_;
    std::array<EpochScore, 3> picked_;  // by keep rule
    std::vector<std::string> rows_;
};

}  // namespace bantam
