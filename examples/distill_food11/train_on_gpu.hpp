// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/error.hpp>
#include <bantam/cuda/data/picture_data.hpp>
#include <bantam/cuda/runtime/staged_communicator.hpp>
#include <bantam/cuda/training/trainer.hpp>
#include <bantam/train/fit.hpp>
#ifdef BANTAM_HAS_NCCL
#include <bantam/cuda/runtime/nccl_communicator.hpp>
#endif

#include "../../tools/shared/command_line.hpp"
#include "../../tools/shared/ranks.hpp"
#include "forwarding_student.hpp"

namespace distill_food11 {

/// A student on a GPU, which keeps whole data sets in its memory. `Device` is Cuda or CudaBfloat16.
template <class Net, class Device>
class GpuStudent final : public ForwardingStudent<StudentTrainer, Trainer<Net, Device>> {
    using Forwarding = ForwardingStudent<StudentTrainer, Trainer<Net, Device>>;

public:
    using Forwarding::Forwarding;
    ~GpuStudent() override { GpuStudent::set_communicator(nullptr); }

    void set_communicator(Communicator* communicator) override {
        trainer_.set_communicator(nullptr);
        ranks_.reset();
        if (!communicator || communicator->rank().count == 1) return;
#ifdef BANTAM_HAS_NCCL
        ranks_ = std::make_unique<bantam::cuda::NcclCommunicator>(*communicator);
#else
        ranks_ = std::make_unique<bantam::cuda::StagedCommunicator>(*communicator);
        if (!ranks_->recordable())
            print_message(
                "note: this program was built without NCCL, so that GPUs exchange data through the host's memory and a "
                "step is no CUDA graph\n");
#endif
        trainer_.set_communicator(ranks_.get());
    }

    void fit(const TrainingLoader& training, const EvaluationLoader& validation, const TrainingPosition& start,
             std::FILE* stream, const OnEpoch& on_epoch, const OnStep& on_step) override {
        bantam::fit(trainer_, on_device(trainer_, training), on_device(trainer_, validation), start, stream, on_epoch,
                    on_step);
    }
    Metrics evaluate(const EvaluationLoader& data) override {
        return bantam::detail::metrics(trainer_, on_device(trainer_, data));
    }
    void infer(const InferenceLoader& data, const std::function<void(std::span<const float>)>& on_logits) override {
        bantam::infer(trainer_, on_device(trainer_, data), on_logits);
    }

private:
    using Forwarding::trainer_;
    std::unique_ptr<bantam::cuda::DeviceCommunicator> ranks_;
};

template <class Net>
std::unique_ptr<StudentTrainer> train_on_gpu(const TrainingOptions& options, const DeviceOptions& device) {
    if constexpr (training_heads<Net> > 1) {
        throw Error{"--device cuda: students in a NetAug or MemberWise run on the CPU alone; leave out --device"};
    } else {
        using Food = WithLimit<Net>;
        bantam::cuda::choose_gpu(launched_rank(true));
        if (device.precision == "bf16") return std::make_unique<GpuStudent<Food, CudaBfloat16>>(options);
        TrainingOptions chosen = options;
        chosen.allow_tf32 = device.precision == "tf32";
        return std::make_unique<GpuStudent<Food, Cuda>>(chosen);
    }
}

}  // namespace distill_food11
