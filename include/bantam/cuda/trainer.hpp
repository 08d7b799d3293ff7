// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/core/error.hpp>
#include <bantam/core/network.hpp>
#include <bantam/core/random.hpp>
#include <bantam/cuda/loss.hpp>
#include <bantam/cuda/model.hpp>
#include <bantam/cuda/optimizer.hpp>
#include <bantam/train/averaging.hpp>
#include <bantam/train/clipping.hpp>
#include <bantam/train/losses.hpp>
#include <bantam/train/options.hpp>
#include <bantam/train/trainer.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace bantam {

/// Trainer on a GPU: the same steps, options and states as on the CPU. Loss, gradient, clipping, optimiser
/// and averages stay on the device; a step sends the batch there and its figures back.
template <class Net>
class Trainer<Net, Cuda> {
public:
    static constexpr std::int64_t classes = class_count<Net>;

    /// Random weights from `options.seed`. Throws Error naming an option that is out of range.
    explicit Trainer(const TrainingOptions& options)
        : options_{checked(options)}, optimizer_{model_.execution(), options} {
        model_.initialise(options_.seed);
        gradient_.reserve(parameter_size);
        figures_.reserve(1);
        if (averages()) {
            average_parameters_.reserve(parameter_size);
            average_statistics_.reserve(statistic_size);
            start_averages();
        }
    }

    const TrainingOptions& options() const { return options_; }
    /// Optimiser steps taken.
    std::int64_t steps() const { return optimizer_.steps(); }

    /// One optimiser step on one batch of an epoch of `steps_per_epoch`. Throws Error when the loss or
    /// the gradient is not finite; the weights are then those of before the step.
    template <class Batch>
    LossSums step(const Batch& batch, std::int64_t steps_per_epoch) {
        send(batch);
        const auto step = static_cast<std::uint64_t>(optimizer_.steps());
        model_.forward(pixels_.data(), batch.count, random_bits(options_.seed, dropout_stream, step), logits_.data());
        const bool taught = !batch.teacher_logits.empty();
        cuda::loss_and_gradient<float>(
            execution(), options_.loss(), batch.count, classes, logits_.data(),
            {labels_.data(), taught ? teacher_logits_.data() : nullptr, taught ? has_teacher_.data() : nullptr},
            scratch_.data(), logits_gradient_.data(), figures_.data());
        model_.backward(logits_gradient_.data(), gradient_.data());
        const double decay = averages() ? warmed_decay(options_.averaging_decay, optimizer_.steps()) : 0.0;
        const Update update{.learning_rate = options_.schedule(steps_per_epoch)(optimizer_.steps()),
                            .averaging_decay = decay};
        optimizer_.step(execution(), update, gradient_.data(), model_.parameters(),
                        averages() ? average_parameters_.data() : nullptr, figures_.data());
        if (averages())
            cuda::for_each_index(
                execution(), statistic_size,
                cuda::detail::AverageStep<float>{figures_.data(), model_.statistics(), average_statistics_.data(),
                                                 static_cast<float>(1.0 - decay)});
        averaged_is_current_ = false;
        cuda::StepFigures figures;
        cuda::copy_to_host(execution(), figures_.data(), 1, &figures);
        if (!(figures.scale > 0)) refuse(batch, figures);
        return cuda::loss_sums(figures, batch.count);
    }

    /// Loss and hits of a batch with the averaged weights, in inference mode; nothing is trained.
    template <class Batch>
    LossSums evaluate(const Batch& batch) {
        return detail::plain_loss(options_.loss(), classes, infer(batch.pixels.data(), batch.count), batch);
    }

    /// The logits [count][classes] of pictures [count][H][W][C] in the host's memory, with the averaged
    /// weights.
    std::span<const float> infer(const float* pixels, std::int64_t count) {
        cuda::Model<Net>& model = averaged();
        pixels_.reserve(count * cuda::Model<Net>::input_elements);
        logits_.reserve(count * classes);
        cuda::copy_to_device(model.execution(), pixels, count * cuda::Model<Net>::input_elements, pixels_.data());
        model.infer(pixels_.data(), count, logits_.data());
        host_logits_.resize(static_cast<std::size_t>(count * classes));
        cuda::copy_to_host(model.execution(), logits_.data(), count * classes, host_logits_.data());
        return host_logits_;
    }

    /// The weights to keep, in the host's memory: averaged where averaging is on.
    std::span<const float> parameters() { return host_parameters_ = averaged().read_parameters(); }
    std::span<const float> statistics() { return host_statistics_ = averaged().read_statistics(); }

    /// Starts from given weights in place of random ones, as for inference with a stored student.
    void set_weights(std::span<const float> parameters, std::span<const float> statistics) {
        model_.write_parameters(parameters.data());
        model_.write_statistics(statistics.data());
        if (averages()) start_averages();
        optimizer_.set_steps(0);
        averaged_is_current_ = false;
    }

    /// A named copy of everything that the next step depends on; `restored` takes what is written there.
    struct State {
        std::string name;
        std::span<float> values;
    };
    std::vector<State> state() {
        mirrors_.clear();
        mirror("model.parameters", model_.parameters(), parameter_size);
        mirror("model.statistics", model_.statistics(), statistic_size);
        for (const auto& buffer : optimizer_.state())
            mirror(std::string{"optimizer."} + buffer.name, buffer.values, parameter_size);
        if (averages()) {
            mirror("average.parameters", average_parameters_.data(), parameter_size);
            mirror("average.statistics", average_statistics_.data(), statistic_size);
        }
        std::vector<State> states;
        for (Mirror& own : mirrors_) states.push_back({own.name, own.values});
        return states;
    }
    /// Call after writing to what `state()` gave: brings it to the device, with the counter that goes with it.
    void restored(std::int64_t steps) {
        for (const Mirror& own : mirrors_)
            cuda::copy_to_device(execution(), own.values.data(), static_cast<std::int64_t>(own.values.size()),
                                 own.on_device);
        mirrors_.clear();
        optimizer_.set_steps(steps);
        averaged_is_current_ = false;
    }

private:
    static constexpr std::uint64_t dropout_stream = 0xD20;
    static constexpr std::int64_t parameter_size = trainable_parameters<Net>;
    static constexpr std::int64_t statistic_size = non_trainable_parameters<Net>;

    struct Mirror {
        std::string name;
        float* on_device;
        std::vector<float> values;
    };

    static const TrainingOptions& checked(const TrainingOptions& options) {
        check(options);
        return options;
    }
    const cuda::Execution& execution() const { return model_.execution(); }
    bool averages() const { return options_.averaging_decay > 0.0; }

    template <class Batch>
    void send(const Batch& batch) {
        const auto to = [&](const auto& from, auto& buffer) {
            buffer.reserve(static_cast<std::int64_t>(from.size()));
            cuda::copy_to_device(execution(), from.data(), static_cast<std::int64_t>(from.size()), buffer.data());
        };
        to(batch.pixels, pixels_);
        to(batch.labels, labels_);
        to(batch.teacher_logits, teacher_logits_);
        to(batch.has_teacher, has_teacher_);
        logits_.reserve(batch.count * classes);
        logits_gradient_.reserve(batch.count * classes);
        scratch_.reserve(cuda::loss_scratch(batch.count, classes));
    }

    /// Throws what the CPU would have thrown. The optimiser has counted a step that it did not take.
    template <class Batch>
    [[noreturn]] void refuse(const Batch& batch, const cuda::StepFigures& figures) {
        optimizer_.set_steps(optimizer_.steps() - 1);
        std::vector<float> logits(static_cast<std::size_t>(batch.count * classes));
        cuda::copy_to_host(execution(), logits_.data(), batch.count * classes, logits.data());
        loss_and_gradient<float>(options_.loss(), classes, logits, detail::targets_of(batch), std::span<float>{});
        static_cast<void>(clip_scale(std::sqrt(figures.squared_norm), options_.clip_norm));
        throw Error("the training step was not taken, though loss and gradient are finite");
    }

    void start_averages() {
        cuda::copy_on_device(execution(), model_.parameters(), parameter_size, average_parameters_.data());
        cuda::copy_on_device(execution(), model_.statistics(), statistic_size, average_statistics_.data());
    }

    /// The model that answers: the averaged one, brought up to date.
    cuda::Model<Net>& averaged() {
        if (!averages()) return model_;
        if (!averaged_is_current_) {
            execution().wait();
            const cuda::Execution& own = averaged_model_.execution();
            cuda::copy_on_device(own, average_parameters_.data(), parameter_size, averaged_model_.parameters());
            cuda::copy_on_device(own, average_statistics_.data(), statistic_size, averaged_model_.statistics());
            averaged_is_current_ = true;
        }
        return averaged_model_;
    }

    void mirror(std::string name, float* on_device, std::int64_t size) {
        Mirror& own = mirrors_.emplace_back(
            Mirror{std::move(name), on_device, std::vector<float>(static_cast<std::size_t>(size))});
        cuda::copy_to_host(execution(), on_device, size, own.values.data());
    }

    TrainingOptions options_;
    cuda::Model<Net> model_, averaged_model_;
    cuda::Optimizer<Net, float> optimizer_;
    cuda::DeviceBuffer<float> pixels_, teacher_logits_, logits_, logits_gradient_, gradient_;
    cuda::DeviceBuffer<float> average_parameters_, average_statistics_;
    cuda::DeviceBuffer<std::int32_t> labels_;
    cuda::DeviceBuffer<std::uint8_t> has_teacher_;
    cuda::DeviceBuffer<double> scratch_;
    cuda::DeviceBuffer<cuda::StepFigures> figures_;
    std::vector<float> host_logits_, host_parameters_, host_statistics_;
    std::deque<Mirror> mirrors_;
    bool averaged_is_current_ = false;
};

}  // namespace bantam
