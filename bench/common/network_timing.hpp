// SPDX-License-Identifier: MIT
#pragma once

#include "timing.hpp"

#include <bantam/base/index.hpp>
#include <bantam/cpu/trainer.hpp>
#include <bantam/exec/stage_profiler.hpp>

#include <cstddef>
#include <vector>

namespace bantam::bench {

/// Milliseconds of each timed call, and for the mode `stages` of each stage (the medians).
struct Timing {
    std::vector<double> calls;
    struct Stage {
        const cpu::StageLabel* label;
        double milliseconds;
        int calls;
    };
    std::vector<Stage> stages;
    Index multiply_adds = 0;  ///< of one picture's forward pass
};

/// Forward and backward alone, with adjacent layers fused or layer by layer. With `timing`, stage by stage.
template <class Net, bool Fused>
std::vector<double> time_gradients(const TimingOptions& options, const RandomBatch& batch, Timing* timing = nullptr) {
    cpu::Model<Net, float, Fused> model{options.threads};
    model.initialize(0);
    std::vector<float> logits(static_cast<std::size_t>(options.batch * class_count<Net>));
    const std::vector<float> logits_gradient(logits.size(), 0.01F);
    std::vector<float> gradient(static_cast<std::size_t>(trainable_parameters<Net>));
    cpu::StageProfiler profiler;
    std::vector<std::vector<double>> stages;
    if (timing) model.set_profiler(&profiler);
    const std::vector<double> times = time_calls(options, [&] {
        profiler.clear();
        model.forward(batch.pixels.data(), batch.count, 0, logits.data());
        model.backward(logits_gradient.data(), gradient.data());
        stages.resize(profiler.entries().size());
        for (std::size_t i = 0; i < stages.size(); ++i) stages[i].push_back(1000 * profiler.entries()[i].seconds);
    });
    for (std::size_t i = 0; i < stages.size(); ++i)
        timing->stages.push_back({profiler.entries()[i].label, median(stages[i]), profiler.entries()[i].calls});
    return times;
}

/// A whole training step: forward, cross-entropy, backward, SGD with Nesterov momentum.
template <class Net>
std::vector<double> time_training(const TimingOptions& options, const RandomBatch& batch) {
    TrainingOptions training = timed_training();
    training.threads = options.threads;
    Trainer<Net> trainer{training};
    trainer.set_communicator(options.communicator);
    return time_calls(options, [&] { trainer.step(batch, 1000); });
}

template <class Net>
std::vector<double> time_inference(const TimingOptions& options, const RandomBatch& batch) {
    cpu::Model<Net> model{options.threads};
    model.initialize(0);
    std::vector<float> logits(static_cast<std::size_t>(options.batch * class_count<Net>));
    return time_calls(options, [&] { model.infer(batch.pixels.data(), batch.count, logits.data()); });
}

template <class Net>
Timing time_net(const TimingOptions& options) {
    const RandomBatch batch = random_batch<Net>(options.batch);
    Timing timing;
    timing.multiply_adds = multiply_adds<Net>;
    if (options.mode == "training")
        timing.calls = time_training<Net>(options, batch);
    else if (options.mode == "inference")
        timing.calls = time_inference<Net>(options, batch);
    else if (options.mode == "gradients-layer-by-layer")
        timing.calls = time_gradients<Net, false>(options, batch);
    else
        timing.calls = time_gradients<Net, true>(options, batch, options.mode == "stages" ? &timing : nullptr);
    return timing;
}

}  // namespace bantam::bench
