// SPDX-License-Identifier: MIT
#include "job.hpp"

#include <bantam/base/build.hpp>
#include <bantam/base/communicator.hpp>
#include <bantam/base/error.hpp>
#include <bantam/base/index.hpp>
#include <bantam/base/printable.hpp>
#include <bantam/core/budget.hpp>
#include <bantam/core/summary.hpp>
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
#include <bantam/train/step_traffic.hpp>

#include "../../tools/shared/homework.hpp"
#include "../../tools/shared/picture_bytes.hpp"
#include "../../tools/shared/pictures.hpp"
#include "../../tools/shared/ranks.hpp"
#include "../../tools/shared/report.hpp"
#include "../../tools/shared/stop_signal.hpp"
#include "../../tools/shared/student_file.hpp"
#include "student.hpp"
#include "teacher.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace distill_food11 {
namespace {

/// The metadata key that names the stored student from which training started.
constexpr const char* started_from = "started_from";
/// The one that says for which numbers the student was trained, where these are not float32.
constexpr const char* quantized_for = "quantize";
/// Training pictures on which the ranges of the maps are found, as export_student does.
constexpr Index calibration_pictures = 512;

/// `ranges` are those of a student that is trained for int8.
Metadata student_metadata(const Options& options, const StudentNetwork& network,
                          const std::vector<std::string>& classes, std::span<const float> ranges) {
    Metadata metadata = picture_metadata(classes, options.stored_size);
    metadata["network"] = network.text();
    // Only where it is not the random start that the homework demands.
    if (!options.start_from.empty())
        metadata[started_from] =
            fmt::format("{}, xxh64 {}", options.start_from.filename().string(), hash_file(options.start_from));
    if (options.for_int8()) {
        metadata[quantized_for] = options.quantize;
        if (!ranges.empty()) metadata[int8_ranges_key] = int8_ranges_text(ranges);
    }
    return metadata;
}

/// What a resumed run must share with the interrupted one, apart from its options.
Metadata run_identity(const Options& options, const Metadata& metadata, const ExpectedPictures& pictures) {
    std::string contents;
    for (std::size_t i = 0; i < pictures.paths.size(); ++i) contents += pictures.paths[i] + pictures.hashes[i];
    Metadata identity = metadata;
    identity["pictures"] = hash_bytes(contents.data(), contents.size());
    identity["teacher_logits"] = !options.teacher.empty()         ? "online, weights " + hash_file(options.teacher)
                                 : options.teacher_logits.empty() ? "none"
                                                                  : hash_file(options.teacher_logits);
    return identity;
}

/// Throws Error where this rank reads other pictures or logits than the first one.
void require_same_data(Communicator& communicator, const Metadata& identity) {
    constexpr std::string_view keys[] = {"classes", "pictures", "teacher_logits"};
    std::string here;
    for (const std::string_view key : keys) here += identity.at(std::string{key}) + '\n';
    std::string hash = hash_bytes(here.data(), here.size()), first = hash;
    broadcast(communicator, std::span{first}, 0);
    if (hash != first)
        throw Error{"the first rank reads other pictures or teacher logits; give all ranks the same files"};
}

/// Takes the trainer's state and the position in the run from the first rank, which may have resumed it.
TrainingPosition share_state(Communicator& communicator, StudentTrainer& trainer, TrainingPosition position) {
    Index steps = trainer.steps();
    broadcast(communicator, std::span{&position, 1}, 0);
    broadcast(communicator, std::span{&steps, 1}, 0);
    for (const TrainerState& state : trainer.state()) broadcast(communicator, state.values, 0);
    trainer.restored(steps);
    return position;
}

void print_warnings(const std::vector<std::string>& warnings) {
    for (const std::string& warning : warnings) print_message(fmt::format("warning: {}\n", printable(warning, 4000)));
}

/// The logits of all pictures, averaged over the first `views` views of `test_time_views`.
std::vector<float> all_logits(StudentTrainer& trainer, const InferenceLoader& data, int views = 1) {
    std::vector<float> all;
    for (const View& view : test_time_views(views)) {
        std::size_t at = 0;
        trainer.infer(data.showing(view), [&](std::span<const float> logits) {
            all.resize(std::max(all.size(), at + logits.size()));
            for (const float logit : logits) all[at++] += logit / static_cast<float>(views);
        });
    }
    return all;
}

/// The most likely class of every testing picture.
std::vector<int> predict(StudentTrainer& trainer, const StudentNetwork& network, const TestPictures& pictures,
                         std::size_t files, int views) {
    std::vector<int> categories(files, 0);
    const auto classes = static_cast<std::size_t>(network.classes);
    const std::vector<float> logits = all_logits(trainer, InferenceLoader{pictures, network.input, 64}, views);
    for (std::size_t index = 0; index < logits.size() / classes; ++index)
        categories[pictures.store.source_index(index)] =
            static_cast<int>(most_likely_class(std::span{logits}.subspan(index * classes, classes)));
    return categories;
}

/// The accuracy on labeled pictures with logits averaged over several views.
double accuracy_of_views(StudentTrainer& trainer, const EvaluationLoader& data, const std::vector<int>& labels,
                         int views) {
    const std::vector<float> logits = all_logits(trainer, data, views);
    const std::size_t classes = logits.size() / labels.size();
    Index correct = 0;
    for (std::size_t i = 0; i < labels.size(); ++i)
        correct += most_likely_class(std::span{logits}.subspan(i * classes, classes)) == labels[i];
    return static_cast<double>(correct) / static_cast<double>(labels.size());
}

std::string percent(std::optional<double> fraction) {
    return fraction ? fmt::format("{:.2f} %", 100 * *fraction) : "-";
}

SafetensorsFile open_student(const std::filesystem::path& path) {
    if (!std::filesystem::exists(path))
        throw Error{path.string() + ": no such file; train first, or name one with --weights"};
    return SafetensorsFile::open(path);
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

/// Starts from a stored student of the same network. Where it has another number of classes, the last layer keeps its
/// random weights.
void start_from(const std::filesystem::path& path, const StudentNetwork& network, StudentTrainer& trainer) {
    SafetensorsFile file = open_student(path);
    const std::span<const float> random_parameters = trainer.parameters(), random_statistics = trainer.statistics();
    std::vector<float> parameters{random_parameters.begin(), random_parameters.end()};
    std::vector<float> statistics{random_statistics.begin(), random_statistics.end()};
    const std::string_view last = network.tensors.back().name.view();
    if (read_network(file, network.tensors, parameters, statistics, last.substr(0, last.rfind('.') + 1)))
        print_message(fmt::format(
            "note: {} has another number of classes, so the last layer starts from random weights\n", path.string()));
    trainer.set_weights(parameters, statistics);
}

/// The student of this name; "" is the default one. Throws Error where there is none.
const StudentEntry& student_of_name(const std::string& name) {
    if (name.empty()) return students().front();
    std::string known;
    for (const StudentEntry& student : students()) {
        if (student.network.name == name) return student;
        known += fmt::format("{}{}", known.empty() ? "" : ", ", student.network.name);
    }
    throw Error{fmt::format("there is no student '{}'; there are {}", name, known)};
}

/// The student that the options name, or else the one whose weights `stored`, if any, holds.
const StudentEntry& chosen_student(const Options& options, const std::filesystem::path& stored) {
    std::string name = options.student;
    if (name.empty() && !stored.empty()) name = student_name(open_student(stored));
    const StudentEntry& student = student_of_name(name);
    if (student.on_cpu) return student;
    throw Error{fmt::format(
        "this program was built without the student '{}'; build it with tools/distill or with -DBANTAM_STUDENTS={}",
        name, name)};
}

/// All students with their figures, in 80 columns.
std::string student_table() {
    const auto commas = [](Index number) { return std::string{bantam::detail::with_commas(number).view()}; };
    const auto shown_name = [](const StudentEntry& student) {
        return std::string{student.network.name} + (student.on_cpu ? "" : " *");
    };
    std::size_t width = 0;
    for (const StudentEntry& student : students()) width = std::max(width, shown_name(student).size());
    std::string text = fmt::format("{:<{}}{:>11}{:>14}{:>12}  {}\n", "student", width, "parameters", "multiply-adds",
                                   "activations", "expected accuracy");
    bool absent = false;
    for (const StudentEntry& student : students()) {
        const StudentNetwork& network = student.network;
        absent = absent || !student.on_cpu;
        text += fmt::format("{:<{}}{:>11}{:>14}{:>12}  {}\n", shown_name(student), width, commas(network.deployed),
                            commas(network.multiply_adds), commas(network.activation_bytes),
                            network.deployed > default_parameter_limit
                                ? fmt::format("over {} parameters", commas(default_parameter_limit))
                                : network.accuracy);
    }
    const StudentNetwork& first = students().front().network;
    text += fmt::format("\n{} classes, pictures of {}x{}\nactivations: bytes of all layers' outputs for one picture.\n",
                        first.classes, first.input.height, first.input.width);
    if (absent) text += "* not in this build; tools/distill --student NAME builds it\n";
    return text;
}

/// Throws Error where options exclude each other.
void check_combination(const Options& options, int ranks) {
    if (options.norms == "rank" && ranks == 1)
        throw Error{"--norms rank is for several ranks; leave it out, or start the program with mpirun -n 2"};
    if (options.norms == "rank" && options.device.on_gpu())
        throw Error{"--norms rank works on the CPU alone; leave out it or --device cuda"};
    if (options.norms == "rank" && options.for_int8())
        throw Error{"--quantize int8 keeps the statistics of batch norms; leave out --norms rank"};
    if (ranks > 1 && !options.teacher.empty())
        throw Error{
            "--teacher answers in one process alone; store its logits by mpirun precompute_logits and train with "
            "--teacher-logits"};
    if (options.predict_only && (options.resume || options.extend))
        throw Error{fmt::format("{} trains and --predict-only does not; leave out one of them",
                                options.resume ? "--resume" : "--extend")};
    if (options.resume + options.extend + options.overwrite > 1)
        throw Error{"--resume, --extend and --overwrite exclude each other; leave out all but one of them"};
    if (!options.predict_only && !options.weights.empty())
        throw Error{
            "--weights names the student of --predict-only; training starts from random weights or with --start-from, "
            "leave it out"};
    if (!options.teacher.empty() && !options.teacher_logits.empty())
        throw Error{
            "--teacher answers while the student is trained, --teacher-logits beforehand; leave out one of them"};
    if (!options.teacher.empty() && options.predict_only)
        throw Error{"--teacher trains and --predict-only does not; leave out one of them"};
    if (!options.teacher.empty() && options.device.on_gpu())
        throw Error{
            "--teacher works on the CPU alone; leave out --device cuda, or store the teacher's logits by "
            "precompute_logits --device cuda and train with --teacher-logits"};
    if (options.for_int8() && options.device.on_gpu())
        throw Error{"--quantize int8 trains on the CPU alone; leave out --device cuda"};
    if (options.for_int8() && options.predict_only)
        throw Error{"--quantize int8 trains and --predict-only does not; leave out one of them"};
    if (options.for_int8() && options.start_from.empty())
        throw Error{
            "--quantize int8 fine-tunes a trained student, whose batch norms keep their statistics; name it with "
            "--start-from"};
    if (!options.start_from.empty() && !std::filesystem::exists(options.start_from))
        throw Error{options.start_from.string() + ": no such file; name a stored student with --start-from"};
    if (options.data.empty()) throw Error{"--data is required; see --help"};
}

/// Throws Error where the output folder holds a trained student that the options do not say what to do with.
void refuse_used_output(const Options& options) {
    if (options.resume || options.extend || options.overwrite || options.predict_only) return;
    for (const char* name : {"student.safetensors", "last.safetensors"})
        if (std::filesystem::exists(options.output / name))
            throw Error{fmt::format(
                "{}: already holds a run ({}); name another --output, continue that run with --resume, train it for "
                "more epochs with --extend, or replace it with --overwrite",
                options.output.string(), name)};
}

/// The number of epochs that the run in the output folder was to have. Throws Error where `--extend` asks for no more.
Index epochs_before(const RunFolder& folder, Index epochs) {
    if (!std::filesystem::exists(folder.last()))
        throw Error{folder.last().string() + ": no such file, so there is no run to extend; leave out --extend"};
    const Index before = metadata_count(SafetensorsFile::open(folder.last()), "epochs", 1, 1'000'000);
    if (epochs <= before)
        throw Error{
            fmt::format("{}: the run has {} epochs and --epochs asks for {} in all; ask for more, or finish it "
                        "with --resume",
                        folder.last().string(), before, epochs)};
    return before;
}

/// Whether the run's steps so far had the learning rates of a run of `epochs` epochs from the start.
bool same_schedule(const StudentTrainer& trainer, Index steps_per_epoch, Index epochs_before) {
    TrainingOptions before = trainer.options();
    before.epochs = epochs_before;
    const Schedule now = trainer.options().schedule(steps_per_epoch), then = before.schedule(steps_per_epoch);
    for (Index step = 0; step < trainer.steps(); ++step)
        if (now(step) != then(step)) return false;
    return true;
}

/// Continues the run in the output folder, where the options say so.
void continue_run(const Options& options, RunFolder& folder, StudentTrainer& trainer, Index steps_per_epoch) {
    if (!options.resume && !options.extend) return;
    const Index before = options.extend ? epochs_before(folder, options.training.epochs) : 0;
    if (std::filesystem::exists(folder.last())) {
        const SafetensorsFile file = SafetensorsFile::open(folder.last());
        if (const bool int8 = file.metadata().contains(quantized_for); int8 != options.for_int8())
            throw Error{fmt::format("{}: the run {} --quantize int8; {}", folder.last().string(),
                                    int8 ? "began with" : "began without", int8 ? "add it" : "leave it out")};
        const auto start = file.metadata().find(started_from);
        if (options.start_from.empty() && start != file.metadata().end())
            throw Error{fmt::format("{}: the run started from {}; name that file with --start-from",
                                    folder.last().string(), start->second)};
    }
    const std::set<std::string> may_differ =
        options.extend ? std::set<std::string>{"epochs", "warmup_epochs"} : std::set<std::string>{};
    print_warnings(folder.resume(trainer, may_differ));
    if (options.extend && !same_schedule(trainer, steps_per_epoch, before))
        print_message(fmt::format(
            "note: the first {} epochs had the learning rates of a run of {}, so the student will differ from one "
            "trained for {} at first; only runs of a constant rate (--final-learning-rate 1) can be extended "
            "without a difference\n",
            folder.finished_epochs(), before, options.training.epochs));
}

/// A finished epoch in less than 80 columns; metrics.csv has all figures.
std::string epoch_line(const EpochReport& report, Index epochs, bool kept) {
    std::string text = fmt::format("epoch {}/{}  loss {:.4f}  validation {}", report.epoch, epochs,
                                   report.training.loss.value_or(0.0), percent(report.validation.accuracy));
    if (report.validation.teacher_agreement)
        text += fmt::format("  agreement {}", percent(report.validation.teacher_agreement));
    return text + fmt::format("  {:.1f} s{}", report.seconds, kept ? "  kept" : "");
}

constexpr const char* how_to_resume = "to continue, run the same command with --resume and without --overwrite";

/// When the state is to be saved within an epoch.
class SaveTimer {
public:
    explicit SaveTimer(double interval) : interval_{interval} {}
    bool due() const { return std::chrono::duration<double>(Clock::now() - saved_).count() >= interval_; }
    void restart() { saved_ = Clock::now(); }

private:
    using Clock = std::chrono::steady_clock;
    double interval_;
    Clock::time_point saved_ = Clock::now();
};

std::vector<std::pair<std::string, std::string>> setting_rows(const TrainingOptions& training) {
    std::vector<std::pair<std::string, std::string>> rows = described(training);
    for (auto& [name, value] : rows) std::ranges::replace(name, '_', ' ');
    return rows;
}

ReportFacts report_facts(const Options& options, const StudentNetwork& network, const StudentTrainer& trainer,
                         const ExpectedPictures& pictures, const TeacherLogits* teacher, ReportSettings data) {
    const std::string stored = std::to_string(options.stored_size);
    data.rows.emplace_back("stored size", stored + " × " + stored);
    data.rows.emplace_back("teacher", teacher ? teacher->teacher_name : "none");
    if (teacher)
        data.rows.emplace_back("views per picture",
                               options.teacher.empty() ? std::to_string(teacher->view_count) : "one in each epoch");
    if (!options.start_from.empty()) data.rows.emplace_back("started from", options.start_from.string());
    ReportSettings machine = machine_settings();
    machine.rows.emplace_back("build", build_text(trainer.backend()));
    machine.rows.emplace_back("device", options.device.device);
    machine.rows.emplace_back("precision", options.device.precision);
    if (options.for_int8()) machine.rows.emplace_back("trained for", options.quantize);
    machine.rows.emplace_back("threads", std::to_string(options.training.threads));
    if (const int ranks = launched_rank().count; ranks > 1) machine.rows.emplace_back("ranks", std::to_string(ranks));
    return {.name = std::filesystem::weakly_canonical(options.output / "report.html").parent_path().filename().string(),
            .network = network.text(),
            .command = options.command,
            .keep = options.keep,
            .epochs = options.training.epochs,
            .parameters = network.deployed,
            .parameter_limit = default_parameter_limit,
            .classes = pictures.classes,
            .layers = network.layers,
            .settings = {{"Training", setting_rows(options.training)}, std::move(data), std::move(machine)}};
}

}  // namespace

void distill(Options& options) {
    const std::unique_ptr<Communicator> communicator = join_ranks();
    const Rank rank = communicator->rank();
    const bool first_rank = rank.index == 0;
    // The first rank writes and prints; the others only train.
    if (!first_rank && (options.list_students || options.summary || options.predict_only)) return;
    if (options.list_students) {
        fmt::print("{}", student_table());
        return;
    }
    if (options.summary) {
        check(options.training);
        fmt::print("{}", student_of_name(options.student).network.summary);
        return;
    }
    check_combination(options, rank.count);
    if (options.norms == "rank") options.training.norm_ranks = rank.count;
    if (first_rank) refuse_used_output(options);
    const std::filesystem::path weights =
        options.weights.empty() ? options.output / "student.safetensors" : options.weights;
    const StudentEntry& student = chosen_student(options, options.predict_only ? weights : options.start_from);
    const StudentNetwork& network = student.network;
    // Fails now, not after the pictures are read, where the device is missing.
    const auto make_trainer = options.device.on_gpu() ? student.on_gpu
                              : options.for_int8()    ? student.on_cpu_int8
                                                      : student.on_cpu;
    if (!make_trainer && options.for_int8())
        throw Error{
            fmt::format("--student {0}: this program was built without it for int8; build it with "
                        "-DBANTAM_INT8_STUDENTS={0}",
                        network.name)};
    if (!make_trainer)
        throw Error{
            fmt::format("--student {}: this program was built without it for a GPU; use --device cpu", network.name)};
    const std::unique_ptr<StudentTrainer> trainer = make_trainer(options.training, options.device);

    const HomeworkFolders folders = open_homework(options.data, static_cast<int>(network.classes));
    if (options.predict_only) {
        if (folders.testing.paths().empty())
            throw Error{options.data.string() + ": has no testing/ folder, so there is nothing to predict; add it"};
        options.stored_size = stored_size_of_student(open_student(weights), folders.classes, options.stored_size);
    }
    TeacherLogits teacher;
    std::optional<OnlineTeacher> online_teacher;
    const bool stored = !options.teacher_logits.empty();
    const bool taught = stored || !options.teacher.empty();
    if (!options.teacher.empty()) online_teacher = open_teacher(options.teacher, options.training.threads);
    if (stored && !options.predict_only) {
        teacher = load_teacher_logits(options.teacher_logits);
        options.stored_size = teacher.preprocessing.stored_size;
    }
    if (!options.start_from.empty()) start_from(options.start_from, network, *trainer);

    PictureOptions reading{.stored_size = options.stored_size, .threads = options.training.threads, .hash_files = true};
    HomeworkFolders used = folders;
    // Pictures without labels can be trained on only with a teacher.
    if (!taught || options.predict_only) used.unlabeled = {};
    if (options.predict_only) used.training = {};
    // Each rank decodes a part of the training and validation pictures.
    if (!options.predict_only) reading.ranks = communicator.get();
    reading.cache = open_cache_with_report(options.cache, used, reading, options.verify_cache);
    // Fails now, not after the training, where predictions are not possible.
    if (!options.predict_only && first_rank) check_with_report(options.data, folders.testing, reading, "testing");
    const LabeledPictures validation = load_with_report(options.data, folders.validation, reading, "validation");
    const std::optional<LabeledPictures> labeled_pictures =
        options.predict_only ? std::nullopt
                             : std::optional{load_with_report(options.data, folders.training, reading, "labeled")};
    const std::vector<float> ranges =
        labeled_pictures ? trainer->calibrate(PictureBytes{*labeled_pictures, network.input, calibration_pictures})
                         : std::vector<float>{};
    const Metadata metadata = student_metadata(options, network, folders.classes, ranges);
    std::string summary_text =
        fmt::format("{}\nparameters: {}\nlimit: {}\n", network.summary, network.deployed, default_parameter_limit);
    if (const Index trained = network.trained_parameters(); trained > network.deployed)
        summary_text += fmt::format("parameters while training: {}\n", trained);

    std::optional<RunFolder> folder;
    if (first_rank) folder.emplace(options.output, metadata);
    if (options.predict_only) print_warnings(folder->changed_files());
    const EvaluationLoader evaluating{validation, network.input, 64};
    std::optional<Report> run_report;
    if (!options.predict_only) {
        const LabeledPictures& labeled = *labeled_pictures;
        const UnlabeledPictures unlabeled = load_with_report(options.data, used.unlabeled, reading, "unlabeled");
        const ExpectedPictures pictures = expected_pictures(labeled, unlabeled, validation, folders.classes);
        if (stored) match_teacher_logits(teacher, options.teacher_logits, pictures);
        if (online_teacher) {
            teacher = answer_whole_pictures(*online_teacher, validation);
            teacher.classes = folders.classes;
            teacher.teacher_name = options.teacher.filename().string();
        }

        const auto rows = [&](std::size_t first) {
            return stored ? TeacherRows{&teacher, static_cast<Index>(first)} : TeacherRows{};
        };
        // An online teacher's logits are those of the validation pictures alone.
        const TeacherRows validation_rows =
            online_teacher ? TeacherRows{&teacher} : rows(labeled.store.size() + unlabeled.store.size());
        TrainingLoader training{{.input = network.input,
                                 .batch_size = options.training.batch_size,
                                 .seed = options.training.seed,
                                 .alternating_flip = options.training.alternating_flip,
                                 .online_teacher = online_teacher ? &*online_teacher : nullptr,
                                 .rank = rank}};
        training.add(labeled, rows(0));
        if (taught) training.add(unlabeled, rows(labeled.store.size()));
        const EvaluationLoader validating{validation, network.input, 64, {}, validation_rows, rank};

        const Metadata identity = run_identity(options, metadata, pictures);
        require_same_data(*communicator, identity);
        if (first_rank) {
            folder->identify(identity, keep_rule(options.keep));
            continue_run(options, *folder, *trainer, training.batch_count());
        }
        const TrainingPosition start =
            share_state(*communicator, *trainer, first_rank ? folder->position() : TrainingPosition{});
        trainer->set_communicator(communicator.get());
        if (first_rank && !options.no_report) {
            const ReportSettings data{"Data",
                                      {{"labeled pictures", std::to_string(labeled.store.size())},
                                       {"unlabeled pictures", std::to_string(unlabeled.store.size())},
                                       {"validation pictures", std::to_string(validation.store.size())}}};
            run_report.emplace(options.output,
                               report_facts(options, network, *trainer, pictures, taught ? &teacher : nullptr, data),
                               validation, validation_rows);
            run_report->add_views(training, labeled, unlabeled);
        }
        print_message(network.summary);
        if (rank.count > 1 && options.device.on_gpu()) {
            print_message(fmt::format("ranks: {}, one GPU per rank\n", rank.count));
        } else if (rank.count > 1) {
            const StepTraffic traffic =
                step_traffic(network.trained_tensors, network.trained_outputs, options.training.batch_size, rank,
                             options.training.norm_ranks > 1);
            print_message(
                fmt::format("ranks: {}, which exchange data {} times per step; each receives about {:.2f} MB\n",
                            rank.count, traffic.exchanges, static_cast<double>(traffic.bytes) / 1e6));
        }
        const StopSignal signal;
        // A run that is killed before its first epoch has ended can be resumed, too.
        if (first_rank && !options.resume && !options.extend) folder->save(*trainer, start);
        SaveTimer timer{options.save_seconds};
        // All ranks stop at the same step, when one of them has received a signal.
        const auto stopping = [&] {
            if (rank.count > 1) signal.record(largest(*communicator, signal.number()));
            return signal.received();
        };
        const auto stop = [&](const std::string& where) {
            communicator->barrier();  // the first rank has saved the state
            signal.stop(where + "; " + how_to_resume);
        };
        trainer->fit(
            training, validating, start, first_rank ? stderr : nullptr,
            [&](const EpochReport& report, Progress& progress) {
                const bool stops = stopping() && report.epoch < options.training.epochs;
                const std::string where = fmt::format("after epoch {}", report.epoch);
                if (!first_rank) {
                    if (stops) stop(where);
                    return;
                }
                const bool kept = folder->finish_epoch(network.tensors, *trainer, report, metadata);
                // They belong to an older student.
                for (const std::filesystem::path& result : {folder->predictions(), options.output / "summary.txt"})
                    std::filesystem::remove(result);
                if (run_report) {
                    if (kept && run_report->affordable())
                        run_report->set_answers(report.epoch, [&] { return all_logits(*trainer, evaluating); });
                    run_report->write(folder->picked(keep_rule(options.keep)).epoch, false);
                }
                progress.print(epoch_line(report, options.training.epochs, kept));
                timer.restart();
                if (stops) stop(where);
            },
            [&](const TrainingPosition& position) {
                const bool stops = stopping();
                if (!stops && !timer.due()) return;
                if (first_rank) folder->save(*trainer, position);
                timer.restart();
                if (stops) stop(fmt::format("after batch {} of epoch {}", position.batch, position.epoch + 1));
            });
        trainer->set_communicator(nullptr);
        if (!first_rank) return;
        summary_text += fmt::format("epochs: {}\ntraining pictures: {} labeled, {} unlabeled\nteacher: {}\nstart: {}\n",
                                    folder->finished_epochs(), labeled.store.size(), unlabeled.store.size(),
                                    taught ? teacher.teacher_name : "none",
                                    options.start_from.empty() ? "random weights" : metadata.at(started_from));
        if (options.for_int8())
            summary_text +=
                "trained for: int8; the figures are those of the student in int8, as simulated in training\n";
        summary_text += kept_text(*folder, keep_rule(options.keep), std::ssize(validation.labels));
    }

    load_student(weights, network, *trainer);
    const Metrics result = trainer->evaluate(evaluating);
    summary_text += fmt::format("validation accuracy: {:.4f}\nvalidation cross-entropy: {:.4f}\n",
                                result.accuracy.value_or(0.0), result.cross_entropy.value_or(0.0));
    std::string with_views;
    if (options.tta > 1) {
        const double accuracy = accuracy_of_views(*trainer, evaluating, validation.labels, options.tta);
        summary_text += fmt::format("validation accuracy with {} test-time views: {:.4f}\n", options.tta, accuracy);
        with_views = fmt::format(" ({} with {} test-time views, as predicted)", percent(accuracy), options.tta);
    }
    if (!options.predict_only) folder->write_text("summary.txt", summary_text);
    if (run_report) {
        const Index kept = folder->picked(keep_rule(options.keep)).epoch;
        if (run_report->answered_epoch() != kept)
            run_report->set_answers(kept, [&] { return all_logits(*trainer, evaluating); });
        run_report->write(kept, true);
    }
    const std::size_t to_predict = folders.testing.paths().size();
    if (to_predict > 0) {
        PictureOptions inference = reading;
        inference.hash_files = false;
        inference.ranks = nullptr;
        const TestPictures testing = load_with_report(options.data, folders.testing, inference, "testing");
        folder->write_predictions(predict(*trainer, network, testing, to_predict, options.tta),
                                  static_cast<std::size_t>(options.id_digits));
    }
    std::vector<std::string> written{"predict.csv"};
    if (!options.predict_only)
        for (const char* name : {"student.safetensors", "last.safetensors", "metrics.csv", "summary.txt"})
            written.emplace_back(name);
    if (run_report) written.emplace_back("report.html");
    folder->write_checksums(written);
    fmt::print("validation accuracy: {}{}\nstudent: {}\npredictions: {}\n", percent(result.accuracy), with_views,
               weights.string(),
               to_predict > 0 ? folder->predictions().string() : "none, because the data has no testing/ folder");
    if (run_report) fmt::print("report: {}\n", (options.output / "report.html").string());
}

}  // namespace distill_food11
