// SPDX-License-Identifier: MIT
#include <bantam/data/evaluation_loader.hpp>
#include <bantam/data/training_loader.hpp>

// 8-bit RGB pictures of 32x32 in memory, shown in random crops, flips and colors; a teacher's logits are optional.
template <class Trainer>
void fit_augmented(Trainer& trainer, std::span<const std::uint8_t> pixels, const std::vector<int>& labels,
                   const bantam::TeacherLogits* teacher = nullptr) {
    const bantam::PictureOptions stored{.stored_size = 32};
    const bantam::LabeledPictures pictures{bantam::PictureStore::from_memory(pixels, 32, 32, stored), labels};
    bantam::TrainingLoader training{{.input = Trainer::image, .batch_size = 16, .seed = 1}};
    training.add(pictures, {teacher});
    const bantam::EvaluationLoader validation{pictures, Trainer::image, 16};
    bantam::fit(trainer, on_device(trainer, training), on_device(trainer, validation));
}
