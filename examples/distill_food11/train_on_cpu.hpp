// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/cpu/trainer.hpp>

#include "forwarding_student.hpp"

namespace distill_food11 {

/// A student on the CPU.
template <class Net>
class CpuStudent final : public ForwardingStudent<BatchTrainer, Trainer<Net, Cpu>> {
    using Forwarding = ForwardingStudent<BatchTrainer, Trainer<Net, Cpu>>;

public:
    using Forwarding::Forwarding;

    LossSums step(const Batch& batch, Index steps_per_epoch) override { return trainer_.step(batch, steps_per_epoch); }
    LossSums evaluate(const Batch& batch) override { return trainer_.evaluate(batch); }
    std::span<const float> infer(std::span<const float> pixels) override { return trainer_.infer(pixels); }

private:
    using Forwarding::trainer_;
};

template <class Net>
std::unique_ptr<StudentTrainer> train_on_cpu(const TrainingOptions& options, const DeviceOptions&) {
    return std::make_unique<CpuStudent<WithLimit<Net>>>(options);
}

}  // namespace distill_food11
