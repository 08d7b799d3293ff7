// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/core/network.hpp>
#include <bantam/data/picture_store.hpp>
#include <bantam/data/teacher_logits.hpp>
#include <bantam/data/training_loader.hpp>
#include <bantam/train/confusion_matrix.hpp>

#include <nlohmann/json_fwd.hpp>

#include <chrono>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace bantam {

/// The answers with a confidence in one range.
struct ReliabilityBin {
    Index count = 0;
    Index right = 0;
    double confidence = 0;  ///< mean
};

/// A student's and a teacher's answer to one validation picture. A confidence is a softmax probability.
struct ComparedAnswer {
    Index picture = 0;
    int label = -1;  ///< −1: none
    int answer = 0;
    double confidence = 0;
    double label_confidence = 0;
    int teacher_answer = -1;  ///< −1: no teacher
    double teacher_confidence = 0;
    double divergence = 0;  ///< of the student's probabilities from the teacher's (Kullback–Leibler), in nats
};

/// How a student answers the validation pictures.
struct ValidationAnswers {
    static constexpr std::size_t shown = 20;

    Index pictures = 0;
    ConfusionMatrix confusion;
    std::vector<ReliabilityBin> reliability;  ///< of 15 equal ranges of confidence
    /// Σ share of a range · |its accuracy − its mean confidence| (Guo et al., 2017).
    double calibration_error = 0;
    std::vector<ComparedAnswer> mistakes;       ///< the least likely labels first, at most `shown`
    std::vector<ComparedAnswer> disagreements;  ///< other answers than the teacher's, the largest divergence first
};

/// `logits` is [picture][class], `labels` [picture] (−1: none). The teacher's logits are those of whole pictures.
/// Pictures whose logits are not finite are left out.
ValidationAnswers compare_answers(Index classes, std::span<const int> labels, std::span<const float> logits,
                                  const TeacherRows& teacher);

/// A titled list of names and values.
struct ReportSettings {
    std::string title;
    std::vector<std::pair<std::string, std::string>> rows;
};

/// What does not change while a run goes on.
struct ReportFacts {
    std::string name;
    std::string network;
    std::string command;
    std::string keep;  ///< loss, accuracy or last
    Index epochs = 0;  ///< of the whole run
    Index parameters = 0;
    Index parameter_limit = 0;
    std::vector<std::string> classes;
    std::span<const LayerEntry> layers;
    std::vector<ReportSettings> settings;
};

/// The processor, the operating system and the compiler, as far as they are known.
ReportSettings machine_settings();

/// report.html of a run folder: one file that shows the run in a browser without network access. The validation
/// pictures and the teacher's logits must outlive it.
class Report {
public:
    Report(std::filesystem::path folder, ReportFacts facts, const LabeledPictures& validation,
           const TeacherRows& teacher);

    /// Shows some training pictures and the views of them that the first epochs train on. `training` holds the
    /// labeled pictures, then the unlabeled ones.
    void add_views(const TrainingLoader& training, const LabeledPictures& labeled, const UnlabeledPictures& unlabeled);

    /// Whether the answers to the validation pictures may be computed again now: everything the report needs stays
    /// below 2 % of the run's time.
    bool affordable() const;

    /// The epoch whose answers the report shows, 0 before the first ones.
    Index answered_epoch() const { return answered_epoch_; }

    /// Calls `infer()`, which returns the logits [picture][class] of the validation pictures, and shows those answers.
    template <class Infer>
    void set_answers(Index epoch, Infer&& infer) {
        const auto start = Clock::now();
        const std::vector<float> logits = infer();
        show_answers(epoch, logits);
        last_cost_ = Clock::now() - start;
        cost_ += last_cost_;
    }

    /// Writes the file from the folder's metrics.csv. Where it cannot be written, warns once on stderr.
    void write(Index kept_epoch, bool finished);

private:
    using Clock = std::chrono::steady_clock;

    struct ShownView {
        std::string picture;
        int teacher_answer = -1;
        double teacher_confidence = 0;
    };
    struct ViewRow {
        std::string path;
        int label;
        std::vector<ShownView> views;
    };

    nlohmann::json content(Index kept_epoch, bool finished);
    void show_answers(Index epoch, std::span<const float> logits);
    const std::string& validation_picture(Index picture);

    std::filesystem::path folder_;
    ReportFacts facts_;
    const LabeledPictures* validation_;
    TeacherRows teacher_;
    std::vector<ViewRow> views_;
    std::optional<ValidationAnswers> answers_;
    Index answered_epoch_ = 0;
    std::map<Index, std::string> encoded_;  // validation pictures that were shown
    Clock::time_point started_ = Clock::now();
    Clock::duration cost_{};
    Clock::duration last_cost_{};
    bool warned_ = false;
};

}  // namespace bantam
