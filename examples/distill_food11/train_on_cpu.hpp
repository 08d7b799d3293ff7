// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/core/budget.hpp>
#include <bantam/cpu/trainer.hpp>

#include "student.hpp"

#include <string>

namespace distill_food11 {

/// A student on the CPU.
template <class Net>
class CpuStudent final : public BatchTrainer {
public:
    explicit CpuStudent(const TrainingOptions& options) : trainer_{options} {}

    LossSums step(const Batch& batch, Index steps_per_epoch) override { return trainer_.step(batch, steps_per_epoch); }
    LossSums evaluate(const Batch& batch) override { return trainer_.evaluate(batch); }
    std::span<const float> infer(std::span<const float> pixels) override { return trainer_.infer(pixels); }

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
    Trainer<Net, Cpu> trainer_;
};

/// The compiler checks the parameter limit here, for any layers.
template <class Net>
std::unique_ptr<StudentTrainer> train_on_cpu(const TrainingOptions& options, const DeviceOptions&) {
    return std::make_unique<CpuStudent<bantam::Student<Net>>>(options);
}

}  // namespace distill_food11
