// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/chunk.hpp>
#include <bantam/base/communicator.hpp>
#include <bantam/base/error.hpp>
#include <bantam/base/index.hpp>
#include <bantam/base/picture_count.hpp>
#include <bantam/core/network.hpp>
#include <bantam/core/shape.hpp>
#include <bantam/cpu/model.hpp>
#include <bantam/train/averaging.hpp>
#include <bantam/train/batch_loss.hpp>
#include <bantam/train/clipping.hpp>
#include <bantam/train/device.hpp>
#include <bantam/train/layer_tensors.hpp>
#include <bantam/train/losses.hpp>
#include <bantam/train/optimizers/optimizer.hpp>
#include <bantam/train/optimizers/parameter_range.hpp>
#include <bantam/train/options.hpp>
#include <bantam/train/schedule.hpp>
#include <bantam/train/shared_parameters.hpp>

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <functional>
#include <iterator>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace bantam {

/// Trainer on the CPU; train/device.hpp describes its members. Of a network that is trained inside another one, such as
/// the student of a NetAug, they are those of `KeptNetwork<Net>`, but for the state.
template <class Net, class Loss>
class Trainer<Net, Cpu, Loss> : detail::Trainable<Net, Loss> {
public:
    static constexpr Shape image = input_shape<Net>;
    static constexpr Index classes = class_count<KeptNetwork<Net>>;

    /// Random weights from `options.seed`. Throws Error naming an option that is out of range.
    explicit Trainer(const TrainingOptions& options, const Loss& loss = {})
        : options_{checked(options)},
          loss_{detail::loss_of(options, loss)},
          model_{options.threads},
          averaged_model_{options.threads},
          gradient_(static_cast<std::size_t>(trainable_parameters<Net>)),
          statistics_before_(static_cast<std::size_t>(non_trainable_parameters<Net>)),
          optimizer_{options, parameter_ranges<Net>(), trainable_parameters<Net>, parameter_matrices<Net>()},
          shared_{detail::shared_parameters<Net>()},
          average_{initialize()} {}

    const TrainingOptions& options() const { return options_; }
    /// What computes, for build_text.
    static std::string backend() {
        return "CPU with Eigen " + std::to_string(EIGEN_WORLD_VERSION) + '.' + std::to_string(EIGEN_MAJOR_VERSION) +
               '.' + std::to_string(EIGEN_MINOR_VERSION);
    }
    /// Optimizer steps taken.
    Index steps() const { return optimizer_.steps(); }

    /// Shares `step` and `evaluate(batch)` with the other ranks from now on, which call them with the same batches at
    /// the same time. Each computes its samples of a batch (`samples_of_rank`), of which alone it may have the pixels;
    /// all of them end each call with the weights and figures of one process. Null ends that. `infer` stays with this
    /// process. Throws Error where `options().norm_ranks` is another number of ranks.
    void set_communicator(Communicator* communicator) {
        const int ranks = communicator ? communicator->rank().count : 1;
        if (ranks > 1 && options_.norm_ranks > 1 && options_.norm_ranks != ranks)
            throw Error("norm_ranks is " + std::to_string(options_.norm_ranks) + " and there are " +
                        std::to_string(ranks) + " ranks; start as many");
        communicator_ = ranks > 1 ? communicator : nullptr;
        if constexpr (has_batch_statistics)
            model_.set_communicator(communicator_, norms_per_rank());
        else
            model_.set_communicator(communicator_);
    }

    /// One optimizer step on one batch of an epoch of `steps_per_epoch`. Throws Error where the loss, the
    /// gradient or a running mean or variance is not finite, or the batch is wrong; nothing has then changed.
    template <class Batch>
    LossSums step(const Batch& batch, Index steps_per_epoch) {
        detail::require_batch<SampleLoss>(batch, image, classes, rank());
        const double learning_rate = options_.schedule(steps_per_epoch)(optimizer_.steps());
        const std::size_t outputs = static_cast<std::size_t>(batch.count * outputs_per_sample);
        const std::span<const float> pixels = detail::pixels_of_rank(batch, image, rank());
        const Index first_output = samples_of_rank(batch.count, rank()).begin * outputs_per_sample;
        require_norms(batch.count);
        logits_.resize(outputs);
        logits_gradient_.resize(outputs);
        std::ranges::copy(std::as_const(model_).statistics(), statistics_before_.begin());
        LossSums sums;
        double scale = 0;
        try {
            model_.forward(pixels.data(), batch.count, options_.dropout_seed(optimizer_.steps()),
                           logits_.data() + first_output);
            gather_logits(outputs_per_sample);
            sums = detail::losses_and_gradient(loss_, training_heads<Net>, classes, logits_, detail::targets_of(batch),
                                               logits_gradient_);
            if (norms_per_rank()) average_statistics();
            for (const float value : std::as_const(model_).statistics())
                if (!std::isfinite(value)) detail::refuse_statistics(batch.pixels);
            model_.backward(logits_gradient_.data() + first_output, gradient_.data());
            if (norms_per_rank()) add_norm_gradients();
            shared_.gather_gradients(std::span<float>{gradient_});
            scale = clip_scale(gradient_norm<float>(std::span<const float>{gradient_}, options_.threads),
                               options_.clip_norm);
        } catch (...) {
            std::ranges::copy(statistics_before_, model_.statistics().begin());
            detail::require_finite_pixels(batch, image, rank());
            throw;
        }
        const double decay = average_.active() ? average_.advance() : 0.0;
        model_.update([&](std::span<float> parameters, std::span<float> statistics) {
            optimizer_.step({.learning_rate = learning_rate,
                             .gradient_scale = scale,
                             .averaging_decay = decay,
                             .threads = options_.threads},
                            gradient_, parameters, average_.parameters());
            shared_.update_copies(parameters);
            if (average_.active()) shared_.update_copies(average_.parameters());
            average_.add_statistics(decay, statistics);
        });
        averaged_is_current_ = false;
        return sums;
    }

    /// The loss of a batch with the weights to keep, in inference mode. Throws Error as `step` does.
    template <class Batch>
    LossSums evaluate(const Batch& batch) {
        return evaluate(batch, [](std::span<const float>) {});
    }

    /// The same, and calls `on_logits` with the batch's logits [count][classes].
    template <class Batch, class OnLogits>
    LossSums evaluate(const Batch& batch, OnLogits&& on_logits) {
        detail::require_batch<SampleLoss>(batch, image, classes, rank());
        const std::span<const float> pixels = detail::pixels_of_rank(batch, image, rank());
        const IndexRange own = samples_of_rank(batch.count, rank());
        logits_.resize(static_cast<std::size_t>(batch.count * classes));
        averaged().infer(pixels.data(), own.count(), logits_.data() + own.begin * classes);
        gather_logits(classes);
        on_logits(std::span<const float>{logits_});
        return detail::evaluation_loss(loss_, classes, logits_, batch, image, rank());
    }

    /// The logits [count][classes] of pictures [count][H][W][C] with the weights to keep, valid until the next
    /// call.
    std::span<const float> infer(std::span<const float> pixels) {
        const KeptModel& model = averaged();
        const Index count = picture_count(pixels.size(), image.height, image.width, image.channels);
        logits_.resize(static_cast<std::size_t>(count * classes));
        model.infer(pixels.data(), count, logits_.data());
        return logits_;
    }

    /// The weights to keep: averaged ones where averaging is on.
    std::span<const float> parameters() { return averaged().parameters(); }
    std::span<const float> statistics() { return averaged().statistics(); }

    /// Replaces the weights, as for inference with a stored student, and counts steps from 0. Throws Error on sizes
    /// that are not those of the network.
    void set_weights(std::span<const float> parameters, std::span<const float> statistics) {
        detail::require_weights<KeptNetwork<Net>>(parameters.size(), statistics.size());
        // What is kept comes first, and stays within what it is trained inside.
        model_.update([&](std::span<float> to_parameters, std::span<float> to_statistics) {
            std::ranges::copy(parameters, to_parameters.begin());
            std::ranges::copy(statistics, to_statistics.begin());
            shared_.update_originals(to_parameters);
        });
        if (average_.active()) {
            std::ranges::copy(std::as_const(model_).parameters(), average_.parameters().begin());
            std::ranges::copy(std::as_const(model_).statistics(), average_.statistics().begin());
        }
        restored(0);
    }

    /// Everything that the next step depends on, readable and writable; call `restored` after writing.
    std::vector<TrainerState> state() {
        std::vector<TrainerState> states;
        model_.update([&](std::span<float> parameters, std::span<float> statistics) {
            states = {{"model.parameters", parameters}, {"model.statistics", statistics}};
        });
        for (const auto& buffer : optimizer_.state())
            states.push_back({std::string{"optimizer."} + buffer.name, buffer.values});
        if (average_.active()) {
            states.push_back({"average.parameters", average_.parameters()});
            states.push_back({"average.statistics", average_.statistics()});
        }
        return states;
    }
    /// Takes in what was written to `state()`; `steps` is the count saved with it.
    void restored(Index steps) {
        optimizer_.set_steps(steps);
        average_.set_updates(steps);
        model_.update([](std::span<float>, std::span<float>) {});
        averaged_is_current_ = false;
    }

private:
    using Model = cpu::Model<Net, float>;
    using KeptModel = cpu::Model<KeptNetwork<Net>, float>;
    /// The logits of all heads.
    static constexpr Index outputs_per_sample = class_count<Net>;
    using SampleLoss = detail::LossOf<Loss>;
    static constexpr bool has_batch_statistics = requires(Model& model) { model.set_communicator(nullptr, true); };

    static const TrainingOptions& checked(const TrainingOptions& options) {
        check(options);
        return options;
    }
    WeightAverage<float> initialize() {
        model_.initialize(options_.seed, {.near_identity_depthwise = options_.near_identity_depthwise,
                                          .zero_residual_norms = options_.zero_residual_norms});
        model_.update([&](std::span<float> parameters, std::span<float>) { shared_.update_copies(parameters); });
        return {options_.averaging_decay, std::as_const(model_).parameters(), std::as_const(model_).statistics()};
    }

    Rank rank() const { return communicator_ ? communicator_->rank() : Rank{}; }

    /// The logits of all ranks' samples. Every rank computes the loss of the whole batch, so that all of them find the
    /// same sums and the same errors.
    void gather_logits(Index width) {
        if (!communicator_) return;
        const Index count = std::ssize(logits_) / width;
        all_gather(*communicator_, std::span<float>{logits_}, width,
                   [count](Rank of) { return samples_of_rank(count, of); });
    }

    bool norms_per_rank() const { return communicator_ && options_.norm_ranks > 1; }

    /// Throws Error where the norms cannot have statistics of their own on each rank.
    void require_norms(Index samples) const {
        if (options_.norm_ranks == 1) return;
        const std::string chosen = "norm_ranks is " + std::to_string(options_.norm_ranks);
        if (!has_batch_statistics) throw Error(chosen + ", and training for int8 keeps the norms' statistics; set 1");
        if (!communicator_) throw Error(chosen + ", and this process trains alone; start as many ranks");
        Index fewest = samples;
        for (int index = 0; index < rank().count; ++index)
            fewest = std::min(fewest, samples_of_rank(samples, {index, rank().count}).count());
        if (fewest < 2)
            throw Error(chosen + ", and of a batch of " + std::to_string(samples) + " samples one rank has " +
                        std::to_string(fewest) + "; choose larger batches, so that each rank has two at least");
    }

    /// Replaces the values by their sum over the ranks, in the order of these.
    void add_over_ranks(std::span<float> values) {
        of_ranks_.resize(static_cast<std::size_t>(rank().count) * values.size());
        const auto of_rank = [&](int index) {
            return std::span{of_ranks_}.subspan(static_cast<std::size_t>(index) * values.size(), values.size());
        };
        std::ranges::copy(values, of_rank(rank().index).begin());
        all_gather(*communicator_, std::span{of_ranks_}, std::ssize(values),
                   [](Rank of) { return IndexRange{of.index, of.index + 1}; });
        std::ranges::copy(of_rank(0), values.begin());
        for (int index = 1; index < rank().count; ++index)
            std::ranges::transform(values, of_rank(index), values.begin(), std::plus{});
    }
    void average_statistics() {
        add_over_ranks(model_.statistics());
        for (float& value : model_.statistics()) value /= static_cast<float>(rank().count);
    }
    /// Those of the layers with statistics, which are so far those of this rank's samples.
    void add_norm_gradients() {
        const auto for_each_norm = [&](const auto& use) {
            std::span<float> left{gradient_};
            for (const auto& [trained, statistics] : layer_tensors(tensor_table<Net>)) {
                if (statistics > 0) use(left.first(static_cast<std::size_t>(trained)));
                left = left.subspan(static_cast<std::size_t>(trained));
            }
        };
        norm_gradients_.clear();
        for_each_norm([&](std::span<float> of_norm) {
            norm_gradients_.insert(norm_gradients_.end(), of_norm.begin(), of_norm.end());
        });
        add_over_ranks(norm_gradients_);
        std::span<const float> sums{norm_gradients_};
        for_each_norm([&](std::span<float> of_norm) {
            std::ranges::copy(sums.first(of_norm.size()), of_norm.begin());
            sums = sums.subspan(of_norm.size());
        });
    }

    /// The model with the weights to keep, brought up to date.
    const KeptModel& averaged() {
        if constexpr (std::same_as<Model, KeptModel>)
            if (!average_.active()) return model_;
        if (!averaged_is_current_) {
            const std::span<const float> parameters =
                average_.active() ? average_.parameters() : std::as_const(model_).parameters();
            const std::span<const float> statistics =
                average_.active() ? average_.statistics() : std::as_const(model_).statistics();
            averaged_model_.set_weights(
                parameters.first(static_cast<std::size_t>(trainable_parameters<KeptNetwork<Net>>)),
                statistics.first(static_cast<std::size_t>(non_trainable_parameters<KeptNetwork<Net>>)));
            averaged_is_current_ = true;
        }
        return averaged_model_;
    }

    TrainingOptions options_;
    SampleLoss loss_;
    Model model_;
    KeptModel averaged_model_;
    std::vector<float> gradient_, logits_, logits_gradient_, statistics_before_, of_ranks_, norm_gradients_;
    Optimizer<float> optimizer_;
    SharedParameters shared_;
    WeightAverage<float> average_;
    bool averaged_is_current_ = false;
    Communicator* communicator_ = nullptr;
};

/// What is no network: says so.
template <class Net, class Loss>
    requires(!NetworkType<Net>)
class Trainer<Net, Cpu, Loss> : public Trainer<detail::NoNetwork<Net>, Cpu, Loss> {
public:
    using Trainer<detail::NoNetwork<Net>, Cpu, Loss>::Trainer;
};

/// A loader in the form in which the trainer is fastest, for `fit`, `evaluate` and `infer`: on the CPU the loader
/// itself.
template <class Net, class Loss, class Loader>
const Loader& on_device(const Trainer<Net, Cpu, Loss>&, const Loader& loader) {
    return loader;
}

}  // namespace bantam
