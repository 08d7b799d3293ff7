// SPDX-License-Identifier: MIT
#include "student.hpp"

#include <bantam/data/evaluation_loader.hpp>
#include <bantam/data/training_loader.hpp>
#include <bantam/train/fit.hpp>

#include <fmt/format.h>

#include <numeric>

namespace distill_food11 {

Index StudentNetwork::trained_parameters() const {
    return std::accumulate(trained_tensors.begin(), trained_tensors.end(), Index{0},
                           [](Index sum, const NamedTensor& entry) { return sum + entry.tensor.element_count(); });
}

std::string StudentNetwork::text() const {
    return fmt::format("{}, {} classes, {}x{}x{}, {} parameters", name, classes, input.height, input.width,
                       input.channels, parameters());
}

void BatchTrainer::fit(const TrainingLoader& training, const EvaluationLoader& validation,
                       const TrainingPosition& start, std::FILE* stream, const OnEpoch& on_epoch,
                       const OnStep& on_step) {
    bantam::fit(*this, training, validation, start, stream, on_epoch, on_step);
}

Metrics BatchTrainer::evaluate(const EvaluationLoader& data) { return bantam::detail::metrics(*this, data); }

void BatchTrainer::infer(const InferenceLoader& data, const std::function<void(std::span<const float>)>& on_logits) {
    bantam::infer(*this, data, on_logits);
}

}  // namespace distill_food11
