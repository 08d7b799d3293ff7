// SPDX-License-Identifier: MIT
// Needs nlohmann/json and xxhash (Debian: nlohmann-json3-dev and libxxhash-dev; header only, nothing to link).
#pragma once

#include <bantam/base/build.hpp>
#include <bantam/base/error.hpp>
#include <bantam/base/index.hpp>
#include <bantam/base/number_text.hpp>
#include <bantam/core/network.hpp>
#include <bantam/io/atomic_file.hpp>
#include <bantam/io/checkpoint.hpp>
#include <bantam/io/folder_lock.hpp>
#include <bantam/io/hash.hpp>
#include <bantam/io/parse_number.hpp>
#include <bantam/io/safetensors.hpp>
#include <bantam/train/fit.hpp>
#include <bantam/train/options.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <istream>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <type_traits>
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
/// (to resume), `metrics.csv` (one row per epoch), `predict.csv`, `checksums.txt` (XXH64 of these files, as the program
/// xxhsum writes and checks them; while training, of metrics.csv alone). Every file appears complete or not at
/// all, so that a run killed at any moment can be resumed from where it was last saved. `last.safetensors` holds
/// the hash of the student that belongs to it and the metrics of all epochs, so that neither another run's student nor
/// a damaged metrics.csv goes unnoticed. While a RunFolder lives, no other process can have one of the same folder.
class RunFolder {
public:
    /// Creates the folder where it is missing; throws Error where files cannot be written to it, or another process
    /// uses it. `identity` names what a resumed run must share with the interrupted one, such as a fingerprint
    /// of the data.
    RunFolder(std::filesystem::path folder, Metadata identity, Keep keep = Keep::loss)
        : folder_{checked(std::move(folder))}, lock_{folder_} {
        identify(std::move(identity), keep);
    }

    /// Replaces the constructor's arguments, for a run whose data are read after its folder was checked.
    void identify(Metadata identity, Keep keep) {
        identity_ = std::move(identity);
        identity_["keep"] = name(keep);
        keep_ = keep;
    }

    std::filesystem::path student() const { return folder_ / "student.safetensors"; }
    std::filesystem::path last() const { return folder_ / "last.safetensors"; }
    std::filesystem::path metrics() const { return folder_ / metrics_name; }
    std::filesystem::path predictions() const { return folder_ / "predict.csv"; }
    std::filesystem::path checksums() const { return folder_ / checksums_name; }

    Index finished_epochs() const { return position_.epoch; }
    /// Where training continues.
    const TrainingPosition& position() const { return position_; }
    /// The epoch that `keep` picks of those finished so far.
    const EpochScore& picked(Keep keep) const { return picked_[static_cast<std::size_t>(keep)]; }

    /// Records a finished epoch: writes the student if the keep rule picks it, then the metrics, then the state to
    /// resume from. Returns whether the student was kept. Throws Error naming a file that cannot be written.
    /// `tensors` is the table of the student's network.
    template <class Trainer>
    bool finish_epoch(std::span<const NamedTensor> tensors, Trainer& trainer, const EpochReport& report,
                      const Metadata& student_metadata) {
        forget_results();
        position_ = report.epoch;
        const EpochScore score{report.epoch, report.validation.loss, report.validation.accuracy};
        if (score.loss && (!picked(Keep::loss).loss || *score.loss < *picked(Keep::loss).loss)) pick(Keep::loss, score);
        if (score.accuracy && (!picked(Keep::accuracy).accuracy || *score.accuracy > *picked(Keep::accuracy).accuracy))
            pick(Keep::accuracy, score);
        pick(Keep::last, score);
        const bool kept = picked(keep_).epoch == report.epoch;
        if (kept) {
            Metadata metadata = student_metadata;
            metadata["run"] = run_hash(trainer);
            metadata["epoch"] = std::to_string(report.epoch);
            write_network(student(), tensors, trainer.parameters(), trainer.statistics(), metadata);
            student_hash_ = hash_file(student());
        } else if (student_is_ahead_) {
            throw Error{student().string() + ": was written by epoch " + std::to_string(report.epoch) +
                        " before the interruption, which now gives another result, as in another build; start the run "
                        "anew, or resume with the build that began it"};
        }
        student_is_ahead_ = false;
        rows_.push_back(row(report));
        write_metrics();
        write_checksums({metrics_name});
        write_last(trainer);
        return kept;
    }

    template <class Net, class Trainer>
    bool finish_epoch(Trainer& trainer, const EpochReport& report, const Metadata& student_metadata) {
        return finish_epoch(tensor_table<KeptNetwork<Net>>, trainer, report, student_metadata);
    }

    /// Saves the state between two steps of an epoch, from which `resume` continues with the same bits.
    template <class Trainer>
    void save(Trainer& trainer, const TrainingPosition& position) {
        forget_results();
        position_ = position;
        write_last(trainer);
    }

    /// Resumes an interrupted run: restores the trainer, the position, the picked epochs and the metrics. Returns
    /// warnings, one line each, such as that another build began the run. Throws Error where there is no run to
    /// resume, its options or identity differ, apart from those named in `may_differ`, or the folder's files do not
    /// belong together.
    template <class Trainer>
    std::vector<std::string> resume(Trainer& trainer, const std::set<std::string>& may_differ = {}) {
        if (!std::filesystem::exists(last()))
            throw Error{last().string() + ": no such file, so there is no run to resume; leave out --resume"};
        SafetensorsFile file = SafetensorsFile::open(last());
        const bool older = file.metadata("format") == older_resume_format;
        if (!older && file.metadata("format") != resume_format)
            throw Error{last().string() + ": has format '" + file.metadata("format") + "', expected '" + resume_format +
                        "'; start the run anew"};
        for (const auto& [key, value] : run_identity(trainer))
            if (const std::string& before = run_value(file, key); !may_differ.contains(key) && before != value)
                throw Error{last().string() + ": the interrupted run had " + key + " " + before + ", this one has " +
                            value + "; resume with the same options or start anew"};
        const Index epochs = trainer.options().epochs;
        position_ = older ? TrainingPosition{count(file, "epoch", epochs)}
                          : TrainingPosition{count(file, "epoch", epochs), count(file, "batch"), loss_sums(file)};
        const Index steps = count(file, "steps");
        for (const auto& [keep, key] : score_keys) {
            const std::string name = key;
            pick(keep, {.epoch = count(file, name + "_epoch", finished_epochs()),
                        .loss = optional_number(file, name + "_loss"),
                        .accuracy = optional_number(file, name + "_accuracy", 0.0, 1.0)});
        }
        std::vector<std::string> warnings;
        const LossOptions loss = trainer.options().loss();
        if (!file.metadata().contains("distillation") && picked(Keep::loss).loss &&
            (loss.distillation.temperature != evaluation_loss_options.distillation.temperature ||
             loss.alpha != evaluation_loss_options.alpha)) {
            pick(Keep::loss, {});
            warnings.push_back(last().string() +
                               ": the validation losses so far were measured with the temperature and alpha of the "
                               "run, those from now on with fixed ones; the lowest one is sought anew");
        }
        if (position_.sums.with_teacher > 0 && position_.sums.kl_divergence == 0.0)
            warnings.push_back(last().string() +
                               ": was saved without training_kl_divergence, which lacks the epoch's first " +
                               std::to_string(position_.batch) + " batches");
        if (!older) {
            check_student(file, run_hash(trainer));
            if (file.metadata("build") != build(trainer))
                warnings.push_back(
                    last().string() + ": the run was begun by another build (" + file.metadata("build") + "; this is " +
                    build(trainer) +
                    "), so that its result may differ in the last bits from that of an uninterrupted run");
        }
        for (const auto& state : trainer.state()) {
            file.read(state.name, state.values);
            for (const float value : state.values)
                if (!std::isfinite(value))
                    throw Error{last().string() + ": '" + state.name +
                                "' holds a number that is not finite; start the run anew"};
        }
        trainer.restored(steps);
        std::vector<std::string> changed = changed_files();
        std::vector<std::string> repaired =
            read_metrics(older ? std::nullopt : std::optional{file.metadata("metrics")});
        if (!repaired.empty())
            std::erase_if(changed, [&](const auto& line) { return line.starts_with(metrics().string() + ':'); });
        for (const auto* more : {&changed, &repaired}) warnings.insert(warnings.end(), more->begin(), more->end());
        return warnings;
    }

    /// Writes predict.csv: `Id,Category`, one row per picture in the given order; Id is its position, with leading
    /// zeros up to `id_digits`.
    void write_predictions(const std::vector<int>& categories, std::size_t id_digits = 1) const {
        std::string text = "Id,Category\n";
        for (std::size_t id = 0; id < categories.size(); ++id) {
            const std::string digits = std::to_string(id);
            text += std::string(id_digits - std::min(id_digits, digits.size()), '0') + digits + ',' +
                    std::to_string(categories[id]) + '\n';
        }
        write_file(predictions(), text);
    }

    void write_text(const char* name, const std::string& text) const { write_file(folder_ / name, text); }

    /// Writes the hashes of the files `names`, as they are now, to checksums.txt; other lines stay in it. Files that
    /// are not there are left out.
    void write_checksums(const std::vector<std::string>& names) const {
        std::map<std::string, std::string> checksums = read_checksums();
        for (const std::string& name : names) {
            checksums.erase(name);
            if (std::filesystem::exists(folder_ / name)) checksums.emplace(name, hash_file(folder_ / name));
        }
        write_checksums(checksums);
    }

    /// One line for each file that is not as checksums.txt has it; none where there is no checksums.txt.
    std::vector<std::string> changed_files() const {
        std::vector<std::string> found;
        const auto report = [&](const std::filesystem::path& path, const char* what) {
            found.push_back(path.string() + ": " + what);
        };
        for (const auto& [name, hash] : read_checksums()) {
            if (hash.empty())
                report(checksums(), "was changed or damaged: it holds a line that is no checksum");
            else if (!std::filesystem::is_regular_file(folder_ / name))
                report(folder_ / name, "is missing, though checksums.txt lists it");
            else if (hash_file(folder_ / name) != hash && !(name == metrics_name && is_one_row_ahead(hash)))
                report(folder_ / name, "was changed or damaged after it was written: checksums.txt has another hash");
        }
        return found;
    }

private:
    static constexpr const char* metrics_name = "metrics.csv";
    static constexpr const char* checksums_name = "checksums.txt";
    static constexpr const char* resume_format = "bantam-training-state/3";
    /// Without position within an epoch, student's hash, metrics and build.
    static constexpr const char* older_resume_format = "bantam-training-state/2";
    /// How many of LossSums' figures a state had before there were SourceWeights.
    static constexpr Index older_loss_figures = 8;
    /// How last.safetensors names the epochs that the rules pick.
    static constexpr std::array<std::pair<Keep, const char*>, 3> score_keys{
        {{Keep::loss, "lowest_loss"}, {Keep::accuracy, "highest_accuracy"}, {Keep::last, "latest"}}};
    static constexpr const char* header =
        "epoch,learning_rate,training_loss,training_accuracy,training_cross_entropy,training_teacher_agreement,"
        "training_distillation_loss,validation_loss,validation_accuracy,validation_cross_entropy,"
        "validation_teacher_agreement,validation_distillation_loss,training_kl_divergence,validation_kl_divergence,"
        "images_per_second,seconds\n";
    /// The number of columns in a row that do not depend on time, and their number before the divergences were added.
    static constexpr std::ptrdiff_t lasting_columns = 14, older_lasting_columns = 12;

    static std::filesystem::path checked(std::filesystem::path folder) {
        std::error_code cause;
        std::filesystem::create_directories(folder, cause);
        if (cause || !std::filesystem::is_directory(folder))
            throw Error{folder.string() + ": cannot be used as an output folder: " +
                        (cause ? cause.message() : "it is a file") + "; choose another one"};
        // Fails now, not after an epoch, where files cannot be written.
        AtomicFile{folder / "last.safetensors"};
        return folder;
    }

    static std::string row(const EpochReport& report) {
        const auto cell = [](std::optional<double> value) { return value ? general_text(*value) : std::string{}; };
        std::string text = std::to_string(report.epoch) + ',' + cell(report.learning_rate);
        for (const Metrics* metrics : {&report.training, &report.validation})
            for (const std::optional<double>& value : {metrics->loss, metrics->accuracy, metrics->cross_entropy,
                                                       metrics->teacher_agreement, metrics->distillation})
                text += ',' + cell(value);
        for (const Metrics* metrics : {&report.training, &report.validation})
            text += ',' + cell(metrics->kl_divergence);
        return text + ',' + fixed_text(report.images_per_second, 1) + ',' + fixed_text(report.seconds, 2);
    }

    /// A row without images_per_second and seconds, which no two runs share.
    static std::string_view lasting(std::string_view row) {
        for (int column = 0; column < 2; ++column) row = row.substr(0, row.rfind(','));
        return row;
    }

    static std::vector<std::string> lines(std::istream&& stream) {
        std::vector<std::string> all;
        for (std::string line; std::getline(stream, line);) all.push_back(line);
        return all;
    }

    /// The header and rows of metrics.csv, or the lasting columns of its rows, of which `times` more follow. Those of
    /// an older version get the columns that they lack.
    static std::vector<std::string> metric_lines(std::istream&& stream, std::ptrdiff_t times) {
        std::vector<std::string> all = lines(std::move(stream));
        for (std::string& line : all)
            if (std::ranges::count(line, ',') + 1 == older_lasting_columns + times)
                line.insert(times > 0 ? lasting(line).size() : line.size(),
                            line.starts_with("epoch") ? ",training_kl_divergence,validation_kl_divergence" : ",,");
        return all;
    }

    /// Hashes by file name. A line that is no checksum of a file in this folder has none.
    std::map<std::string, std::string> read_checksums() const {
        constexpr std::size_t digits = 16;
        std::map<std::string, std::string> found;
        for (const std::string& line : lines(std::ifstream{checksums()})) {
            const bool sound = line.size() > digits + 2 && line.find_first_not_of("0123456789abcdef") == digits &&
                               line.compare(digits, 2, "  ") == 0 && line.find('/') == std::string::npos;
            if (sound)
                found.emplace(line.substr(digits + 2), line.substr(0, digits));
            else
                found.emplace(line, std::string{});
        }
        return found;
    }

    void write_checksums(const std::map<std::string, std::string>& checksums_by_name) const {
        std::string text;
        for (const auto& [name, hash] : checksums_by_name)
            if (!hash.empty()) text += hash + "  " + name + '\n';
        write_file(checksums(), text);
    }

    /// Before the files of a finished run change, only metrics.csv stays in checksums.txt.
    void forget_results() {
        if (std::exchange(results_forgotten_, true) || !std::filesystem::exists(checksums())) return;
        std::map<std::string, std::string> left = read_checksums();
        std::erase_if(left, [](const auto& entry) { return entry.first != metrics_name; });
        write_checksums(left);
    }

    /// Whether metrics.csv without its last row has this hash, as where a run ended before checksums.txt was written.
    bool is_one_row_ahead(const std::string& hash) const {
        std::vector<std::string> rows = lines(std::ifstream{metrics()});
        if (!rows.empty()) rows.pop_back();
        std::string text;
        for (const std::string& line : rows) text += line + '\n';
        return hash_bytes(text.data(), text.size()) == hash;
    }

    void write_metrics() const {
        std::string text = header;
        for (const std::string& line : rows_) text += line + '\n';
        write_file(metrics(), text);
    }

    /// Takes the rows of the finished epochs from metrics.csv, which may have one more. A row that is missing or is not
    /// the one in `stored` is taken from there, without its times. Returns a warning where that was so.
    std::vector<std::string> read_metrics(const std::optional<std::string>& stored) {
        rows_ = metric_lines(std::ifstream{metrics()}, 2);
        bool damaged = !rows_.empty() && rows_.front() + '\n' != header;
        if (!rows_.empty()) rows_.erase(rows_.begin());
        rows_.resize(static_cast<std::size_t>(finished_epochs()));
        const std::vector<std::string> expected = metric_lines(std::istringstream{stored.value_or("")}, 0);
        for (std::size_t i = 0; i < rows_.size(); ++i) {
            if (stored ? i < expected.size() && lasting(rows_[i]) == expected[i] : !rows_[i].empty()) continue;
            damaged = true;
            rows_[i] =
                (i < expected.size() ? expected[i] : std::to_string(i + 1) + std::string(lasting_columns - 1, ',')) +
                ",,";
        }
        if (!damaged) return {};
        write_metrics();
        write_checksums({metrics_name});
        return {metrics().string() +
                ": lacked rows of finished epochs or was damaged; it has been written again from last.safetensors"};
    }

    /// Throws Error where student.safetensors is not the one that the state in `file` belongs to, or the one that the
    /// run wrote right after it and will write again.
    void check_student(const SafetensorsFile& file, const std::string& run) {
        student_hash_ = file.metadata("student");
        if (student_hash_.empty()) return;
        const auto refuse = [&](const char* what) {
            throw Error{student().string() + ": " + what +
                        " last.safetensors; put back the student of this run, or start the run anew"};
        };
        if (!std::filesystem::exists(student())) refuse("is missing beside");
        if (hash_file(student()) == student_hash_) return;
        const Metadata metadata = SafetensorsFile::open(student()).metadata();
        const auto has = [&](const char* key, const std::string& value) {
            const auto found = metadata.find(key);
            return found != metadata.end() && found->second == value;
        };
        student_is_ahead_ = has("run", run) && has("epoch", std::to_string(finished_epochs() + 1));
        if (!student_is_ahead_) refuse("is not the student that belongs to");
    }

    template <class Trainer>
    Metadata run_identity(const Trainer& trainer) const {
        Metadata identity = identity_;
        for (auto& [key, value] : described(trainer.options())) identity[key] = value;
        return identity;
    }

    /// What the interrupted run had. An option that is younger than its file had what is now the default.
    static const std::string& run_value(const SafetensorsFile& file, const std::string& key) {
        static const std::vector<std::pair<std::string, std::string>> defaults = described(TrainingOptions{});
        if (!file.metadata().contains(key))
            for (const auto& [name, value] : defaults)
                if (name == key) return value;
        return file.metadata(key);
    }

    /// Differs between runs that may give different students; an extended run, of more epochs, remains the same.
    template <class Trainer>
    std::string run_hash(const Trainer& trainer) const {
        std::string all;
        for (const auto& [key, value] : run_identity(trainer))
            if (key != "epochs") all += key + '=' + value + '\n';
        return hash_bytes(all.data(), all.size());
    }

    template <class Trainer>
    static std::string build(const Trainer& trainer) {
        return build_text(trainer.backend());
    }

    template <class Trainer>
    void write_last(Trainer& trainer) const {
        Metadata metadata = run_identity(trainer);
        metadata["format"] = resume_format;
        metadata["steps"] = std::to_string(trainer.steps());
        metadata["epoch"] = std::to_string(position_.epoch);
        metadata["batch"] = std::to_string(position_.batch);
        metadata["loss_sums"] = text_of(position_.sums);
        metadata["student"] = student_hash_;
        metadata["build"] = build(trainer);
        std::string& metrics = metadata["metrics"];
        for (const std::string& row : rows_) metrics += std::string{lasting(row)} + '\n';
        const auto exact = [](std::optional<double> value) { return value ? exact_text(*value) : std::string{}; };
        for (const auto& [keep, key] : score_keys) {
            const EpochScore& score = picked(keep);
            const std::string name = key;
            metadata[name + "_epoch"] = std::to_string(score.epoch);
            metadata[name + "_loss"] = exact(score.loss);
            metadata[name + "_accuracy"] = exact(score.accuracy);
        }
        std::vector<TensorView> tensors;
        for (const auto& state : trainer.state())
            tensors.emplace_back(state.name, std::vector<Index>{static_cast<Index>(state.values.size())},
                                 std::span<const float>{state.values});
        write_safetensors(last(), tensors, metadata);
    }

    void pick(Keep keep, const EpochScore& score) { picked_[static_cast<std::size_t>(keep)] = score; }

    static std::string text_of(LossSums sums) {
        std::string text;
        for_each_loss_figure(
            [&](auto figure) {
                if constexpr (std::is_same_v<decltype(figure), double>)
                    text += exact_text(figure) + ' ';
                else
                    text += std::to_string(figure) + ' ';
            },
            sums);
        return text;
    }
    static LossSums loss_sums(const SafetensorsFile& file) {
        LossSums sums;
        std::string_view rest = file.metadata("loss_sums");
        Index figures_read = 0;
        for_each_loss_figure(
            [&](auto& figure) {
                if (figures_read++ >= older_loss_figures && rest.empty()) return;
                const std::size_t end = std::min(rest.find(' '), rest.size());
                figure = number<std::remove_reference_t<decltype(figure)>>(file, rest.substr(0, end));
                rest.remove_prefix(std::min(end + 1, rest.size()));
            },
            sums);
        if (std::ranges::count(file.metadata("loss_sums"), ' ') == older_loss_figures)
            sums.weight = static_cast<double>(sums.count);
        return sums;
    }

    /// A finite number from a file's metadata.
    template <class T>
    static T number(const SafetensorsFile& file, std::string_view text, T smallest = std::numeric_limits<T>::lowest(),
                    T largest = std::numeric_limits<T>::max()) {
        const std::optional<T> value = parse_number<T>(text);
        // Written so that NaN is out of range.
        if (!value || !(*value >= smallest && *value <= largest))
            throw Error{file.path().string() + ": its metadata holds '" + std::string{text} +
                        "' where a number of a run belongs; start the run anew"};
        return *value;
    }
    template <class... Range>
    static std::optional<double> optional_number(const SafetensorsFile& file, const std::string& key, Range... range) {
        const std::string& text = file.metadata(key);
        return text.empty() ? std::nullopt : std::optional{number<double>(file, text, range...)};
    }
    static Index count(const SafetensorsFile& file, const std::string& key, Index largest = Index{1} << 40) {
        return number<Index>(file, file.metadata(key), 0, largest);
    }

    std::filesystem::path folder_;
    FolderLock lock_;
    Metadata identity_;
    TrainingPosition position_;
    Keep keep_;
    std::string student_hash_;          // of student.safetensors; empty before the first one
    bool results_forgotten_ = false;    // checksums.txt lists no file that is going to change
    bool student_is_ahead_ = false;     // it was written right after last.safetensors, by the epoch that is next
    std::array<EpochScore, 3> picked_;  // by keep rule
    std::vector<std::string> rows_;
};

}  // namespace bantam
