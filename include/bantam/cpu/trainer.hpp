// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/error.hpp>
#include <bantam/base/index.hpp>
#include <bantam/base/random.hpp>
#include <bantam/core/network.hpp>
#include <bantam/cpu/model.hpp>
#include <bantam/train/averaging.hpp>
#include <bantam/train/batch_loss.hpp>
#include <bantam/train/clipping.hpp>
#include <bantam/train/device.hpp>
#include <bantam/train/losses.hpp>
#include <bantam/train/optimizer.hpp>
#include <bantam/train/options.hpp>
#include <bantam/train/parameter_range.hpp>
#include <bantam/train/schedule.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace bantam {

/// Trainer on the CPU.
template <class Net>
class Trainer<Net, Cpu> {
public:
    static constexpr Index classes = class_count<Net>;

    /// Random weights from `options.seed`. Throws Error naming an option that is out of range.
    explicit Trainer(const TrainingOptions& options)
        : options_{checked(options)},
          model_{options.threads},
          averaged_model_{options.threads},
          gradient_(static_cast<std::size_t>(trainable_parameters<Net>)),
          optimizer_{options, parameter_ranges<Net>(), trainable_parameters<Net>},
          average_{start()} {}

    const TrainingOptions& options() const { return options_; }
    /// Optimizer steps taken.
    Index steps() const { return optimizer_.steps(); }

    /// One optimizer step on one batch of an epoch of `steps_per_epoch`. Throws Error when the loss or
    /// the gradient is not finite; the weights are then those of before the step.
    template <class Batch>
    LossSums step(const Batch& batch, Index steps_per_epoch) {
        const std::size_t outputs = static_cast<std::size_t>(batch.count * classes);
        logits_.resize(outputs);
        logits_gradient_.resize(outputs);
        const auto step = static_cast<std::uint64_t>(optimizer_.steps());
        model_.forward(batch.pixels.data(), batch.count, random_bits(options_.seed, dropout_stream, step),
                       logits_.data());
        const LossSums sums =
            loss_and_gradient<float>(options_.loss(), classes, logits_, detail::targets_of(batch), logits_gradient_);
        model_.backward(logits_gradient_.data(), gradient_.data());
        const double scale =
            clip_scale(gradient_norm<float>(std::span<const float>{gradient_}, options_.threads), options_.clip_norm);
        const double decay = average_.active() ? average_.advance() : 0.0;
        optimizer_.step({.learning_rate = options_.schedule(steps_per_epoch)(optimizer_.steps()),
                         .gradient_scale = scale,
                         .averaging_decay = decay,
                         .threads = options_.threads},
                        gradient_, model_.parameters(), average_.parameters());
        average_.add_statistics(decay, model_.statistics());
        model_.prepare();
        averaged_is_current_ = false;
        return sums;
    }

    /// Loss and hits of a batch with the averaged weights, in inference mode; nothing is trained.
    template <class Batch>
    LossSums evaluate(const Batch& batch) {
        return detail::plain_loss(options_.loss(), classes, infer(batch.pixels.data(), batch.count), batch);
    }

    /// The logits [count][classes] of pictures [count][H][W][C] with the averaged weights.
    std::span<const float> infer(const float* pixels, Index count) {
        Model& model = averaged();
        logits_.resize(static_cast<std::size_t>(count * classes));
        model.infer(pixels, count, logits_.data());
        return logits_;
    }

    /// The weights to keep: averaged where averaging is on.
    std::span<const float> parameters() { return averaged().parameters(); }
    std::span<const float> statistics() { return averaged().statistics(); }

    /// Starts from given weights in place of random ones, as for inference with a stored student.
    void set_weights(std::span<const float> parameters, std::span<const float> statistics) {
        for (Model* model : {&model_, &averaged_model_}) {
            std::ranges::copy(parameters, model->parameters().begin());
            std::ranges::copy(statistics, model->statistics().begin());
        }
        if (average_.active()) {
            std::ranges::copy(parameters, average_.parameters().begin());
            std::ranges::copy(statistics, average_.statistics().begin());
        }
        restored(0);
    }

    /// A named buffer of everything that the next step depends on, readable and writable.
    struct State {
        std::string name;
        std::span<float> values;
    };
    std::vector<State> state() {
        std::vector<State> states{{"model.parameters", model_.parameters()}, {"model.statistics", model_.statistics()}};
        for (const auto& buffer : optimizer_.state())
            states.push_back({std::string{"optimizer."} + buffer.name, buffer.values});
        if (average_.active()) {
            states.push_back({"average.parameters", average_.parameters()});
            states.push_back({"average.statistics", average_.statistics()});
        }
        return states;
    }
    /// Call after writing to `state()`: the counter that goes with it.
    void restored(Index steps) {
        optimizer_.set_steps(steps);
        average_.set_updates(steps);
        model_.prepare();
        averaged_is_current_ = false;
    }

private:
    using Model = cpu::Model<Net, float>;
    static constexpr std::uint64_t dropout_stream = 0xD20;

    static const TrainingOptions& checked(const TrainingOptions& options) {
        check(options);
        return options;
    }
    WeightAverage<float> start() {
        model_.initialize(options_.seed);
        const Model& fresh = model_;
        return {options_.averaging_decay, fresh.parameters(), fresh.statistics()};
    }

    /// The model that answers: the averaged one, brought up to date.
    Model& averaged() {
        if (!average_.active()) return model_;
        if (!averaged_is_current_) {
            std::ranges::copy(average_.parameters(), averaged_model_.parameters().begin());
            std::ranges::copy(average_.statistics(), averaged_model_.statistics().begin());
            averaged_model_.prepare();
            averaged_is_current_ = true;
        }
        return averaged_model_;
    }

    TrainingOptions options_;
    Model model_;
    Model averaged_model_;
    std::vector<float> gradient_, logits_, logits_gradient_;
    Optimizer<float> optimizer_;
    WeightAverage<float> average_;
    bool averaged_is_current_ = false;
};

/// A loader as the trainer takes it best, for `fit`, `evaluate` and `infer`: the CPU cuts its pictures as it goes.
template <class Net, class Loader>
const Loader& on_device(const Trainer<Net, Cpu>&, const Loader& loader) {
    return loader;
}

}  // namespace bantam
