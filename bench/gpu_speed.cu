// SPDX-License-Identifier: MIT
// Times one reference net on a GPU and prints one JSON line, as bench/peer_torch.py --device cuda does for
// PyTorch: a training step (forward, cross-entropy, backward, SGD with Nesterov momentum) on pictures in the
// GPU's memory, or a forward pass. The line also has the fraction of the bound by memory bandwidth.

#include "common/timing.hpp"

#include <bantam/base/index.hpp>
#include <bantam/cuda/model.hpp>
#include <bantam/cuda/training/trainer.hpp>
#include <bantam/models/mobile.hpp>
#include <bantam/models/resnet18.hpp>
#include <bantam/models/tiniest.hpp>

#include "../tools/shared/command_line.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace bantam::bench {
namespace {

struct GpuTiming {
    std::vector<double> calls;  ///< milliseconds per step
    double bytes = 0;           ///< that a step reads and writes at least
};

/// The numbers per picture that forward and backward of all stages read and write where no cache keeps any: one map
/// per convolution where it fuses norm and activation.
template <class Chain>
struct NumbersMoved;
template <class Backend, class S, class... Stages>
struct NumbersMoved<exec::StageChain<Backend, S, exec::StageList<Stages...>>> {
    template <class Stage>
    static constexpr Index of_stage(bool training) {
        if constexpr (requires { Stage::OperationType::scalars_moved(training); })
            return Stage::OperationType::scalars_moved(training);
        else
            return Stage::forward_label.scalars_moved + (training ? Stage::backward_label.scalars_moved : 0);
    }
    static constexpr Index count(bool training) { return (of_stage<Stages>(training) + ...); }
};

/// A batch of noise in the GPU's memory, used `steps` times per epoch.
template <class Net>
class NoiseOnGpu {
public:
    using Device = Cuda;

    NoiseOnGpu(const cuda::Execution& execution, Index count, Index steps) : count_{count}, steps_{steps} {
        const RandomBatch batch = random_batch<Net>(count);
        pixels_.reserve(std::ssize(batch.pixels));
        labels_.reserve(count);
        cuda::copy_to_device(execution, batch.pixels.data(), std::ssize(batch.pixels), pixels_.data());
        cuda::copy_to_device(execution, batch.labels.data(), count, labels_.data());
    }

    struct Range {
        Index begin, end;
        Index count() const { return end - begin; }
    };
    Index batch_count() const { return steps_; }
    Index largest_batch() const { return count_; }
    Range batch_range(Index index) const { return {index * count_, (index + 1) * count_}; }
    Index teacher_classes() const { return 0; }
    void begin_epoch(const cuda::Execution&, Index) const {}
    void fill(const cuda::Execution& execution, const Index*, Index, cuda::BatchMemory& batch, Rank) const {
        cuda::copy_on_device(execution, pixels_.data(), pixels_.size(), batch.pixels.data());
        cuda::copy_on_device(execution, labels_.data(), count_, batch.labels.data());
    }
    std::shared_ptr<const void> identity() const { return identity_; }

private:
    Index count_, steps_;
    cuda::DeviceBuffer<float> pixels_;
    cuda::DeviceBuffer<std::int32_t> labels_;
    std::shared_ptr<const char> identity_ = std::make_shared<const char>();
};

/// Times epochs of `steps` steps, since the host waits for an epoch and not for a step.
template <class Net, class Device, class Activation>
GpuTiming time_training(const TimingOptions& options, Index steps, const std::string& precision) {
    TrainingOptions training = timed_training();
    training.allow_tf32 = precision == "tf32";
    Trainer<Net, Device> trainer{training};
    const NoiseOnGpu<Net> data{trainer.execution(), options.batch, steps};
    Index epoch = 0;
    GpuTiming timing;
    timing.calls = time_calls(options, [&] { trainer.train_epoch(data, epoch++, [](Index, Index) {}); });
    for (double& call : timing.calls) call /= static_cast<double>(steps);
    timing.bytes =
        static_cast<double>(NumbersMoved<typename cuda::Model<Net, Activation>::Program>::count(true) * options.batch) *
        sizeof(Activation);
    return timing;
}

template <class Net, class Activation>
GpuTiming time_inference(const TimingOptions& options, Index steps, const std::string& precision) {
    cuda::Model<Net, Activation> model;
    model.execution().allow_tf32(precision == "tf32");
    model.initialize(0);
    const RandomBatch batch = random_batch<Net>(options.batch);
    cuda::DeviceBuffer<float> pixels, logits;
    pixels.reserve(std::ssize(batch.pixels));
    logits.reserve(options.batch * model.output_elements);
    cuda::copy_to_device(model.execution(), batch.pixels.data(), std::ssize(batch.pixels), pixels.data());
    GpuTiming timing;
    timing.calls = time_calls(options, [&] {
        for (Index i = 0; i < steps; ++i) model.infer(pixels.data(), options.batch, logits.data());
        model.execution().wait();
    });
    for (double& call : timing.calls) call /= static_cast<double>(steps);
    timing.bytes = static_cast<double>(NumbersMoved<typename cuda::Model<Net, Activation>::Program>::count(false) *
                                       options.batch) *
                   sizeof(Activation);
    return timing;
}

template <class Net>
GpuTiming time_chosen_inference(const TimingOptions& options, Index steps, const std::string& precision) {
    return precision == "bf16" ? time_inference<Net, Bfloat16>(options, steps, precision)
                               : time_inference<Net, float>(options, steps, precision);
}

template <class Net>
GpuTiming time_net(const TimingOptions& options, Index steps, const std::string& precision) {
    if (options.mode != "training") return time_chosen_inference<Net>(options, steps, precision);
    return precision == "bf16" ? time_training<Net, CudaBfloat16, Bfloat16>(options, steps, precision)
                               : time_training<Net, Cuda, float>(options, steps, precision);
}

/// The bandwidth of a copy within the GPU's memory, reads and writes counted.
double gigabytes_per_second() {
    constexpr Index size = Index{1} << 28;
    const cuda::Execution execution;
    cuda::DeviceBuffer<float> from, to;
    from.reserve(size);
    to.reserve(size);
    const std::vector<double> times = time_calls({.repeats = 20, .seconds = 5}, [&] {
        cuda::copy_on_device(execution, from.data(), size, to.data());
        execution.wait();
    });
    return 2.0 * size * sizeof(float) / median(times) / 1e6;
}

void run(const TimingOptions& options, Index steps, const std::string& precision) {
    GpuTiming timing;
    if (options.net == "mobile-98k") timing = time_net<Mobile98k<11>>(options, steps, precision);
    if (options.net == "tiniest-97k") timing = time_net<Tiniest97k<10>>(options, steps, precision);
    if (options.net == "resnet18") {
        if (options.mode != "inference") throw Error{"resnet18 is timed in inference only; use --mode inference"};
        timing = time_chosen_inference<ResNet18<10>>(options, steps, precision);
    }
    const double middle = median(timing.calls), bandwidth = gigabytes_per_second();
    fmt::print(
        "{{\"net\": \"{}\", \"mode\": \"{}\", \"batch\": {}, \"precision\": \"{}\", \"repeats\": {}, \"median_ms\": "
        "{:.4f}, "
        "\"best_ms\": {:.4f}, \"images_per_second\": {:.2f}, \"copy_gb_per_second\": {:.1f}, "
        "\"share_of_bandwidth_bound\": {:.4f}}}\n",
        options.net, options.mode, options.batch, precision, timing.calls.size(), middle,
        *std::ranges::min_element(timing.calls), 1000 * static_cast<double>(options.batch) / middle, bandwidth,
        timing.bytes / (bandwidth * 1e6) / middle);
}

}  // namespace
}  // namespace bantam::bench

int main(int argc, char** argv) {
    bantam::bench::TimingOptions options;
    options.batch = 256;
    bantam::Index steps = 50;
    std::string precision = "float32";
    bantam::CommandLine line{"Times one reference net on a GPU and prints one JSON line"};
    line.option("--net", options.net, "The net; resnet18 in inference only")
        .one_of({"mobile-98k", "tiniest-97k", "resnet18"});
    line.option("--mode", options.mode, "What is timed").one_of({"training", "inference"});
    line.option("--batch", options.batch, "Pictures in a step").between(1, 65536);
    line.option("--steps", steps, "Steps per round").between(1, 1'000'000);
    line.option("--precision", precision, "Precision of activations and products").one_of({"float32", "tf32", "bf16"});
    line.option("--warmup", options.warmup, "Rounds of steps before the clock starts").between(1, 1'000'000);
    line.option("--repeats", options.repeats, "Rounds timed, at most").between(1, 1'000'000);
    line.option("--seconds", options.seconds, "Stop timing after this long, three rounds at least");
    return line.run(argc, argv, [&] { bantam::bench::run(options, steps, precision); });
}
