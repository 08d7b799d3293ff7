// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/error.hpp>
#include <bantam/cpu/trainer.hpp>
#include <bantam/deploy/calibration.hpp>
#include <bantam/deploy/prepare.hpp>
#include <bantam/quantize/quantized.hpp>

#include "../../tools/shared/picture_bytes.hpp"
#include "forwarding_student.hpp"

namespace distill_food11 {

/// A student that is trained for int8, on the CPU.
template <class Net>
class Int8Student final : public ForwardingStudent<BatchTrainer, Trainer<Quantized<Net>, Cpu>> {
    using Forwarding = ForwardingStudent<BatchTrainer, Trainer<Quantized<Net>, Cpu>>;

public:
    using Forwarding::Forwarding;

    LossSums step(const Batch& batch, Index steps_per_epoch) override { return trainer_.step(batch, steps_per_epoch); }
    LossSums evaluate(const Batch& batch) override { return trainer_.evaluate(batch); }
    std::span<const float> infer(std::span<const float> pixels) override { return trainer_.infer(pixels); }

    /// Without the ranges of the maps, which every other part of the program does not know.
    std::span<const float> statistics() override {
        return trainer_.statistics().first(static_cast<std::size_t>(non_trainable_parameters<Net>));
    }
    void set_weights(std::span<const float> parameters, std::span<const float> statistics) override {
        trainer_.set_weights(parameters, quantized_statistics<Net>(statistics, ranges_));
    }

    std::vector<float> calibrate(const PictureBytes& pictures) override {
        const std::vector<float> parameters = copy_of(trainer_.parameters()), statistics = copy_of(this->statistics());
        const auto weights = deploy::prepare_float32<Net>(parameters, statistics);
        deploy::Calibration<Net> calibration{*weights};
        pictures.for_each([&](const std::uint8_t* bytes, int) { calibration.add(bytes); });
        ranges_ = calibration.largest();
        set_weights(parameters, statistics);
        return ranges_;
    }

private:
    using Forwarding::trainer_;

    static std::vector<float> copy_of(std::span<const float> values) { return {values.begin(), values.end()}; }

    std::vector<float> ranges_ = std::vector<float>(deploy::map_count<Net>);
};

template <class Trained>
std::unique_ptr<StudentTrainer> train_on_cpu_int8(const TrainingOptions& options, const DeviceOptions&) {
    using Net = KeptNetwork<Trained>;
    if constexpr (deploy::form_problem<Net, deploy::Int8>.empty())
        return std::make_unique<Int8Student<WithLimit<Net>>>(options);
    else
        throw Error{"--quantize int8: " + std::string{deploy::form_problem<Net, deploy::Int8>} +
                    "; leave out --quantize"};
}

}  // namespace distill_food11
