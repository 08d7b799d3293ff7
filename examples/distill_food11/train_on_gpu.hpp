// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/core/budget.hpp>
#include <bantam/cuda/data/picture_data.hpp>
#include <bantam/cuda/training/trainer.hpp>
#include <bantam/train/fit.hpp>

#include "../../tools/shared/command_line.hpp"
#include "student.hpp"

#include <string>

namespace distill_food11 {

/// A student on a GPU, which keeps whole data sets in its memory. `Device` is Cuda or CudaBfloat16.
template <class Net, class Device>
class GpuStudent final : public StudentTrainer {
public:
    explicit GpuStudent(const TrainingOptions& options) : trainer_{options} {}

    void fit(const TrainingLoader& training, const EvaluationLoader& validation, const TrainingPosition& start,
             std::FILE* stream, const OnEpoch& on_epoch, const OnStep& on_step) override {
        bantam::fit(trainer_, on_device(trainer_, training), on_device(trainer_, validation), start, stream, on_epoch,
                    on_step);
    }
    Metrics evaluate(const EvaluationLoader& data) override {
        return bantam::detail::metrics(trainer_, on_device(trainer_, data));
    }
    void infer(const EvaluationLoader& data, const std::function<void(std::span<const float>)>& on_logits) override {
        bantam::infer(trainer_, on_device(trainer_, data), on_logits);
    }

    const TrainingOptions& options() const override { return trainer_.options(); }
    std::string backend() const override { return trainer_.backend(); }
    Index steps() const override { return trainer_.steps(); }
    std::span<const float> parameters() override { return trainer_.parameters(); }
    std::span<const float> statistics() override { return trainer_.statistics(); }
    void set_weights(std::span<const float> parameters, std::span<const float> statistics) override {
        trainer_.set_weights(parameters, statistics);
    }
    std::vector<TrainerState> state() override { return trainer_.state(); }
    void restored(Index steps) override { trainer_.restored(steps); }

private:
    Trainer<Net, Device> trainer_;
};

template <class Net>
std::unique_ptr<StudentTrainer> train_on_gpu(const TrainingOptions& options, const DeviceOptions& device) {
    using Food = bantam::Student<Net>;
    if (device.precision == "bf16") return std::make_unique<GpuStudent<Food, CudaBfloat16>>(options);
    TrainingOptions chosen = options;
    chosen.allow_tf32 = device.precision == "tf32";
    return std::make_unique<GpuStudent<Food, Cuda>>(chosen);
}

}  // namespace distill_food11
