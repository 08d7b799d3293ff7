// SPDX-License-Identifier: MIT
// The homework "food classification again", end to end: trains a student of at most 100,000 parameters on
// labels and a teacher's stored logits, and predicts the classes of the testing pictures.
//
// Another class count or picture size: -DBANTAM_CLASSES=10, -DBANTAM_IMAGE_SIZE=64 with CMake.

#include "distill_food11/job.hpp"
#include "distill_food11/student.hpp"

#include <bantam/data/view.hpp>

#include <algorithm>
#include <string>

using namespace bantam;

int main(int argc, char** argv) {
    distill_food11::Options options;
    options.training.threads = processor_count();
    CommandLine line{
        "Trains a student under 100,000 parameters on the food-11 homework and predicts its testing pictures"};
    line.option("--data", options.data, "Folder with training/, validation/ and, for predictions, testing/");
    line.option("--teacher-logits", options.teacher_logits,
                "Logits file of precompute_logits; without it the student is trained on labels alone");
    line.option("--teacher", options.teacher,
                "Teacher weights, safetensors, in place of stored logits: in each epoch the teacher answers a fresh "
                "view of every picture");
    line.option("--output", options.output, "Folder for the results");
    line.option("--student", options.student, "Student to train, one of those that --list-students prints");
    line.training_options(options.training);
    std::string distillation = name(options.training.distillation);
    line.option("--distillation", distillation,
                "Loss between teacher and student: kl, reverse-kl, symmetric-kl, dkd (decoupled), or mse of the logits")
        .one_of({"kl", "reverse-kl", "symmetric-kl", "dkd", "mse"});
    line.option("--temperature", options.training.temperature, "Distillation temperature T");
    line.flag("--standardize-logits", options.training.standardize_logits,
              "Distill z-scores of the logits; --temperature 2 is then usual");
    line.option("--dkd-alpha", options.training.dkd_alpha, "Weight of the target class in dkd");
    line.option("--dkd-beta", options.training.dkd_beta, "Weight of the other classes in dkd");
    line.option("--alpha", options.training.alpha, "Weight of the teacher in the loss of a labeled picture");
    line.option("--alpha-where-wrong", options.training.alpha_where_wrong,
                "The same where the teacher's class is not the label; by default --alpha");
    line.option("--labeled-weight", options.training.labeled_weight, "Weight of labeled pictures in the loss");
    line.option("--unlabeled-weight", options.training.unlabeled_weight, "Weight of unlabeled pictures");
    line.option("--mixed-weight", options.training.mixed_weight, "Weight of pictures mixed with each other");
    line.option("--stored-size", options.stored_size,
                "Side of the pictures in memory; with a teacher or a stored student, theirs")
        .between(8, 4096);
    line.option("--cache", options.cache,
                "File of decoded pictures, made where it does not exist; later starts decode only what has changed");
    line.flag("--verify-cache", options.verify_cache,
              "Compare all pictures and their files with the hashes in --cache");
    line.device_options(options.device, std::ranges::any_of(distill_food11::students(),
                                                            [](const auto& student) { return student.on_gpu; }));
    line.option("--keep", options.keep,
                "Which epoch's student is kept: of the lowest validation loss, the highest accuracy, or the last")
        .one_of({"loss", "accuracy", "last"});
    line.option("--start-from", options.start_from,
                "Stored student of the same network to start from; by default the weights are random");
    line.option("--quantize", options.quantize,
                "int8: fine-tune the student of --start-from as it will run in 8 bits on a device; a few epochs at a "
                "low learning rate are usual")
        .one_of({"no", "int8"});
    line.option(
            "--norms", options.norms,
            "Under mpirun, statistics of batch norms: of the whole batch, or, with less to exchange, of each rank's "
            "part; the student then depends on the number of ranks")
        .one_of({"batch", "rank"});
    line.option("--save-seconds", options.save_seconds,
                "Seconds between two states to resume from within an epoch; a kill loses no more");
    line.flag("--resume", options.resume, "Resume the interrupted run in --output");
    line.flag("--extend", options.extend, "Train the finished run in --output for more epochs, --epochs in all");
    line.flag("--overwrite", options.overwrite, "Replace the run in --output");
    line.option("--id-digits", options.id_digits, "Digits of Id in predict.csv: 4 writes 0000, 0001, ...")
        .between(1, 12);
    line.option("--tta", options.tta, "Views of each testing picture whose logits are averaged for predict.csv")
        .between(1, max_test_time_views);
    line.flag("--predict-only", options.predict_only, "Only predict the testing pictures, with --weights");
    line.option("--weights", options.weights, "Student for --predict-only; by default the one in --output");
    line.flag("--list-students", options.list_students, "Print the students and their figures, and stop");
    line.flag("--summary", options.summary, "Print the student's layers, and stop");
    line.flag("--no-report", options.no_report, "Do not write report.html");
    options.command = command_text(argc, argv);
    return line.run(argc, argv, [&] {
        options.training.distillation = distillation_of_name(distillation);
        distill_food11::distill(options);
    });
}
