// SPDX-License-Identifier: MIT
// The homework "food classification again", end to end: trains a student of at most 100,000 parameters on
// labels and a teacher's stored logits, and predicts the classes of the testing pictures.
//
// Another class count or picture size: -DBANTAM_CLASSES=10, -DBANTAM_IMAGE_SIZE=64 with CMake.

#include "distill_food11/job.hpp"
#include "distill_food11/student.hpp"

#include <algorithm>

using namespace bantam;

int main(int argc, char** argv) {
    distill_food11::Options options;
    options.training.threads = processor_count();
    CommandLine line{
        "Trains a student under 100,000 parameters on the food-11 homework and predicts its testing pictures"};
    line.option("--data", options.data, "Folder with training/, validation/ and testing/").required();
    line.option("--teacher-logits", options.teacher_logits,
                "Logits file of precompute_logits; without it the student is trained on labels alone");
    line.option("--output", options.output, "Folder for the results");
    line.training_options(options.training);
    line.option("--temperature", options.training.temperature, "Distillation temperature T");
    line.option("--alpha", options.training.alpha, "Weight of the teacher in the loss of a labeled picture");
    line.option("--stored-size", options.stored_size,
                "Side of the pictures in memory; with a teacher or a stored student, theirs")
        .between(8, 4096);
    line.device_options(options.device, std::ranges::any_of(distill_food11::students(),
                                                            [](const auto& student) { return student.on_gpu; }));
    line.option("--student", options.student, "Student to train, one of examples/students/");
    line.option("--keep", options.keep,
                "Which epoch's student is kept: of the lowest validation loss, the highest accuracy, or the last")
        .one_of({"loss", "accuracy", "last"});
    line.flag("--resume", options.resume, "Resume the interrupted run in --output");
    line.flag("--predict-only", options.predict_only, "Only predict the testing pictures, with --weights");
    line.option("--weights", options.weights, "Student for --predict-only; by default the one in --output");
    return line.run(argc, argv, [&] { distill_food11::distill(options); });
}
