// SPDX-License-Identifier: MIT
#include "job.hpp"

#include <bantam/base/error.hpp>
#include <bantam/base/index.hpp>
#include <bantam/core/budget.hpp>
#include <bantam/data/evaluation_loader.hpp>
#include <bantam/data/expected_pictures.hpp>
#include <bantam/data/folders.hpp>
#include <bantam/data/picture_store.hpp>
#include <bantam/data/teacher_logits.hpp>
#include <bantam/data/training_loader.hpp>
#include <bantam/io/checkpoint.hpp>
#include <bantam/io/hash.hpp>
#include <bantam/train/fit.hpp>
#include <bantam/train/run_folder.hpp>

#include "../../tools/shared/homework.hpp"
#include "../../tools/shared/pictures.hpp"
#include "student.hpp"

#include <fmt/core.h>

#include <charconv>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace distill_food11 {
namespace {

Metadata student_metadata(const Options& options, const StudentNetwork& network,
                          const std::vector<std::string>& classes) {
    Metadata metadata = picture_metadata(classes, options.stored_size);
    metadata["network"] = network.text();
    return metadata;
}

/// What a resumed run must share with the interrupted one, apart from its options.
Metadata run_identity(const Options& options, const Metadata& metadata, const ExpectedPictures& pictures) {
    std::string contents;
    for (std::size_t i = 0; i < pictures.paths.size(); ++i) contents += pictures.paths[i] + pictures.hashes[i];
    Metadata identity = metadata;
    identity["pictures"] = hash_bytes(contents.data(), contents.size());
    identity["teacher_logits"] = options.teacher_logits.empty() ? "none" : hash_file(options.teacher_logits);
    return identity;
}

/// The most likely class of every testing picture, 0 for one that cannot be read.
std::vector<int> predict(StudentTrainer& trainer, const StudentNetwork& network, const TestPictures& pictures,
                         std::size_t files) {
    std::vector<int> categories(files, 0);
    const auto classes = static_cast<std::size_t>(network.classes);
    std::size_t index = 0;
    trainer.infer(EvaluationLoader{pictures, network.input, 64}, [&](std::span<const float> logits) {
        for (; !logits.empty(); logits = logits.subspan(classes), ++index)
            categories[pictures.store.source_index(index)] = static_cast<int>(most_likely_class(logits.first(classes)));
    });
    return categories;
}

std::string percent(std::optional<double> fraction) {
    return fraction ? fmt::format("{:.2f} %", 100 * *fraction) : "-";
}

SafetensorsFile open_student(const std::filesystem::path& path) {
    if (!std::filesystem::exists(path))
        throw Error{path.string() + ": no such file; train first, or name one with --weights"};
    return SafetensorsFile::open(path);
}

/// The stored size of the pictures that a stored student was trained on, `otherwise` where its file does not have
/// it. Throws Error where its file names other classes than the data.
int stored_size_of_student(const std::filesystem::path& path, const std::vector<std::string>& classes, int otherwise) {
    const SafetensorsFile file = open_student(path);
    const Metadata& metadata = file.metadata();
    const std::string here = json_text(classes);
    if (const auto known = metadata.find("classes"); known != metadata.end() && known->second != here)
        throw Error{fmt::format("{}: was trained on the classes {}, the data has {}; name the data it was trained on",
                                path.string(), known->second, here)};
    const auto found = metadata.find("stored_size");
    if (found == metadata.end()) return otherwise;
    const std::string& text = found->second;
    int size = 0;
    const auto [end, cause] = std::from_chars(text.data(), text.data() + text.size(), size);
    if (cause != std::errc{} || end != text.data() + text.size())
        throw Error{fmt::format("{}: its metadata has the stored_size '{}', expected a whole number; train it again",
                                path.string(), text)};
    return size;
}

/// The epochs that the keep rules pick, as lines of summary.txt, and how far chance alone moves an accuracy.
std::string kept_text(const RunFolder& folder, Keep keep, Index validation_pictures) {
    std::string text = fmt::format("kept: epoch {}, chosen by {}\n", folder.picked(keep).epoch, name(keep));
    for (const auto& [what, rule] : {std::pair{"lowest validation loss", Keep::loss},
                                     {"highest validation accuracy", Keep::accuracy},
                                     {"last", Keep::last}}) {
        const EpochScore& score = folder.picked(rule);
        text += fmt::format("{}: epoch {}, loss {:.4f}, accuracy {:.4f}\n", what, score.epoch, score.loss.value_or(0.0),
                            score.accuracy.value_or(0.0));
    }
    const double accuracy = folder.picked(keep).accuracy.value_or(0.0);
    return text + fmt::format("standard error of the accuracy on {} validation pictures: {:.4f}\n", validation_pictures,
                              standard_error(accuracy, validation_pictures));
}

/// Loads a stored student into a trainer, for inference.
void load_student(const std::filesystem::path& path, const StudentNetwork& network, StudentTrainer& trainer) {
    SafetensorsFile file = open_student(path);
    std::vector<float> parameters(static_cast<std::size_t>(network.trainable));
    std::vector<float> statistics(static_cast<std::size_t>(network.non_trainable));
    read_network(file, network.tensors, parameters, statistics);
    trainer.set_weights(parameters, statistics);
}

/// The student that the options name among those the program was built with.
const StudentEntry& chosen_student(const Options& options) {
    if (options.student.empty()) return students().front();
    std::string built;
    for (const StudentEntry& student : students()) {
        if (student.network.name == options.student) {
            if (student.on_cpu) return student;
            throw Error{
                fmt::format("--student {}: this program was built without it; build again with "
                            "-DBANTAM_STUDENTS={}, or use tools/distill",
                            options.student, options.student)};
        }
        built += fmt::format("{}{}", built.empty() ? "" : ", ", student.network.name);
    }
    throw Error{fmt::format("--student {}: there is no such student; there are {}", options.student, built)};
}

}  // namespace

void distill(Options& options) {
    if (options.predict_only && options.resume)
        throw Error{"--resume trains and --predict-only does not; leave out one of them"};
    if (!options.predict_only && !options.weights.empty())
        throw Error{"--weights names the student of --predict-only; training starts from random weights, leave it out"};
    // Fails now, not after the pictures are read, where the device is missing.
    const StudentEntry& student = chosen_student(options);
    const StudentNetwork& network = student.network;
    const std::unique_ptr<StudentTrainer> made =
        (options.device.on_gpu() ? student.on_gpu : student.on_cpu)(options.training, options.device);
    StudentTrainer& trainer = *made;

    const HomeworkFolders folders = open_homework(options.data, static_cast<int>(network.classes));
    const std::filesystem::path weights =
        options.weights.empty() ? options.output / "student.safetensors" : options.weights;
    if (options.predict_only)
        options.stored_size = stored_size_of_student(weights, folders.classes, options.stored_size);
    TeacherLogits teacher;
    const bool taught = !options.teacher_logits.empty();
    if (taught && !options.predict_only) {
        teacher = load_teacher_logits(options.teacher_logits);
        options.stored_size = teacher.preprocessing.stored_size;
    }

    const PictureOptions reading{
        .stored_size = options.stored_size, .threads = options.training.threads, .hash_files = true};
    const LabeledPictures validation = load_with_report(options.data, folders.validation, reading, "validation");
    const Metadata metadata = student_metadata(options, network, folders.classes);
    std::string summary_text =
        fmt::format("{}\nparameters: {}\nlimit: {}\n", network.summary, network.parameters(), default_parameter_limit);

    RunFolder folder{options.output, metadata};
    if (!options.predict_only) {
        const LabeledPictures labeled = load_with_report(options.data, folders.training, reading, "labeled");
        // Pictures without labels can be trained on only with a teacher.
        const UnlabeledPictures unlabeled =
            load_with_report(options.data, taught ? folders.unlabeled : UnlabeledSplit{}, reading, "unlabeled");
        const ExpectedPictures pictures = expected_pictures(labeled, unlabeled, validation, folders.classes);
        if (taught) match_teacher_logits(teacher, options.teacher_logits, pictures);

        const auto rows = [&](std::size_t first) {
            return taught ? TeacherRows{&teacher, static_cast<Index>(first)} : TeacherRows{};
        };
        TrainingLoader training{
            {.input = network.input, .batch_size = options.training.batch_size, .seed = options.training.seed}};
        training.add(labeled, rows(0));
        if (taught) training.add(unlabeled, rows(labeled.store.size()));
        const EvaluationLoader validating{
            validation, network.input, 64, {}, rows(labeled.store.size() + unlabeled.store.size())};

        folder = RunFolder{options.output, run_identity(options, metadata, pictures), keep_rule(options.keep)};
        if (options.resume) folder.resume(trainer);
        fmt::print(stderr, "{}", network.summary);
        trainer.fit(
            training, validating, folder.finished_epochs(), stderr, [&](const EpochReport& report, Progress& progress) {
                const bool kept = folder.finish_epoch(network.tensors, trainer, report, metadata);
                progress.print(fmt::format(
                    "epoch {}/{}  loss {:.4f}  training accuracy {} agreement {}  validation accuracy {} agreement {}  "
                    "{:.0f} images/s  {:.1f} s{}",
                    report.epoch, options.training.epochs, report.training.loss.value_or(0.0),
                    percent(report.training.accuracy), percent(report.training.teacher_agreement),
                    percent(report.validation.accuracy), percent(report.validation.teacher_agreement),
                    report.images_per_second, report.seconds, kept ? "  kept" : ""));
            });
        summary_text += fmt::format("epochs: {}\ntraining pictures: {} labeled, {} unlabeled\nteacher: {}\n",
                                    folder.finished_epochs(), labeled.store.size(), unlabeled.store.size(),
                                    taught ? teacher.teacher_name : "none");
        summary_text += kept_text(folder, keep_rule(options.keep), std::ssize(validation.labels));
    }

    load_student(weights, network, trainer);
    const Metrics result = trainer.evaluate(EvaluationLoader{validation, network.input, 64});
    summary_text += fmt::format("validation accuracy: {:.4f}\nvalidation cross-entropy: {:.4f}\n",
                                result.accuracy.value_or(0.0), result.cross_entropy.value_or(0.0));
    PictureOptions inference = reading;
    inference.hash_files = false;
    const TestPictures testing = load_with_report(options.data, folders.testing, inference, "testing");
    folder.write_predictions(predict(trainer, network, testing, folders.testing.paths().size()));
    if (!options.predict_only) folder.write_text("summary.txt", summary_text);
    fmt::print("validation accuracy: {}\nstudent: {}\npredictions: {}\n", percent(result.accuracy), weights.string(),
               folder.predictions().string());
}

}  // namespace distill_food11
