// SPDX-License-Identifier: MIT
// Trains the quickstart's teacher on labeled pictures and keeps its best weights on validation.

#include <bantam/core/network.hpp>
#include <bantam/cpu/trainer.hpp>
#include <bantam/data/evaluation_loader.hpp>
#include <bantam/data/folders.hpp>
#include <bantam/data/testing_refusal.hpp>
#include <bantam/data/training_loader.hpp>
#include <bantam/io/checkpoint.hpp>
#include <bantam/models/sample_teacher.hpp>
#include <bantam/train/fit.hpp>

#include "../shared/command_line.hpp"
#include "../shared/homework.hpp"
#include "../shared/pictures.hpp"

#include <fmt/format.h>

#include <filesystem>
#include <optional>

namespace {

using namespace bantam;

using Teacher = SampleTeacher<11>;

struct Options {
    std::filesystem::path data;
    std::filesystem::path output;
    int stored_size = 54;
    TrainingOptions training;
};

void train(const Options& options) {
    check(options.training);
    refuse_testing_folder(options.data);
    const HomeworkFolders folders = open_homework(options.data, class_count<Teacher>);
    refuse_input_as_output(options.output, options.data, folders);
    const PictureOptions reading{.stored_size = options.stored_size, .threads = options.training.threads};
    const LabeledPictures labeled = load_with_report(options.data, folders.training, reading, "labeled");
    const LabeledPictures validation = load_with_report(options.data, folders.validation, reading, "validation");
    TrainingLoader training{{.input = input_shape<Teacher>,
                             .batch_size = options.training.batch_size,
                             .seed = options.training.seed,
                             .alternating_flip = options.training.alternating_flip}};
    training.add(labeled);
    const EvaluationLoader validating{validation, input_shape<Teacher>, 64};

    Trainer<Teacher> trainer{options.training};
    std::optional<double> best;
    fit(trainer, training, validating, 0, stderr, [&](const EpochReport& report, Progress& progress) {
        const double accuracy = report.validation.accuracy.value_or(0.0);
        const bool better = !best || accuracy > *best;
        if (better) {
            best = accuracy;
            write_network<Teacher>(options.output, trainer.parameters(), trainer.statistics());
        }
        progress.print(fmt::format("epoch {}/{}  loss {:.4f}  validation accuracy {:.2f} %  {:.0f} images/s{}",
                                   report.epoch, options.training.epochs, report.training.loss.value_or(0.0),
                                   100 * accuracy, report.images_per_second, better ? "  best" : ""));
    });
    fmt::print("validation accuracy: {:.4f}\nparameters: {}\nteacher: {}\n", best.value_or(0.0),
               parameter_count<Teacher>, options.output.string());
}

}  // namespace

int main(int argc, char** argv) {
    Options options;
    // Best on the sample pictures: a short run needs many small steps and a short average.
    options.training.epochs = 8;
    options.training.batch_size = 32;
    options.training.optimizer = OptimizerKind::adamw;
    options.training.learning_rate = 6e-3;
    options.training.weight_decay = 0.05;
    options.training.warmup_epochs = 0.25;
    options.training.averaging_decay = 0.98;
    options.training.threads = processor_count();
    CommandLine line{"Trains the quickstart's teacher on labeled pictures"};
    line.option("--data", options.data, "Folder with training/ and validation/").required();
    line.option("--output", options.output, "Weights to write, safetensors").required();
    line.option("--stored-size", options.stored_size, "Side of the pictures in memory, in pixels").between(8, 4096);
    line.training_options(options.training);
    return line.run(argc, argv, [&] { train(options); });
}
