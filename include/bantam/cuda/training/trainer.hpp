// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/chunk.hpp>
#include <bantam/base/error.hpp>
#include <bantam/base/index.hpp>
#include <bantam/base/picture_count.hpp>
#include <bantam/core/network.hpp>
#include <bantam/core/shape.hpp>
#include <bantam/cuda/model.hpp>
#include <bantam/cuda/runtime/device_communicator.hpp>
#include <bantam/cuda/training/batch_memory.hpp>
#include <bantam/cuda/training/loss.hpp>
#include <bantam/cuda/training/optimizer.hpp>
#include <bantam/cuda/training/step_state.hpp>
#include <bantam/train/averaging.hpp>
#include <bantam/train/batch_loss.hpp>
#include <bantam/train/clipping.hpp>
#include <bantam/train/device.hpp>
#include <bantam/train/losses.hpp>
#include <bantam/train/options.hpp>

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace bantam {

/// Data in a GPU's memory.
template <class Data>
concept OnGpu = std::same_as<typename Data::Device, Cuda>;
/// Data on a GPU that have epochs to train on, as cuda::TrainingData do. cuda::InferenceData
/// and cuda::EvaluationData have none.
template <class Data>
concept TrainsOnGpu = OnGpu<Data> && requires(const Data& data, const cuda::Execution& execution) {
    data.begin_epoch(execution, Index{});
};

namespace cuda {

/// Trainer on a GPU: the same steps, options and states as on the CPU; train/device.hpp describes its members.
/// For data on the GPU one step is recorded and replayed for every batch of an epoch, and only the sums of each group
/// of steps are copied to the host. A batch in the host's memory is copied to the device, and its sums are copied
/// back after each step.
template <class Net, class Activation, class Loss>
class GpuTrainer : bantam::detail::Trainable<Net, Loss> {
    static_assert(training_heads<Net> == 1, "NetAug and MemberWise train on the CPU alone: use Trainer<Net, Cpu>");

public:
    static constexpr Shape image = input_shape<Net>;
    static constexpr Index classes = class_count<Net>;

    /// Random weights from `options.seed`. Throws Error naming an option that is out of range.
    explicit GpuTrainer(const TrainingOptions& options, const Loss& loss = {})
        : options_{checked(options)},
          loss_{bantam::detail::loss_of(options, loss)},
          optimizer_{model_.execution(), options} {
        execution().allow_tf32(options_.allow_tf32);
        model_.initialize(options_.seed, {.near_identity_depthwise = options_.near_identity_depthwise,
                                          .zero_residual_norms = options_.zero_residual_norms});
        gradient_.reserve(parameter_size);
        state_.reserve(1);
        statistics_before_.reserve(statistic_size);
        if (averages()) {
            average_parameters_.reserve(parameter_size);
            average_statistics_.reserve(statistic_size);
            start_averages();
        }
    }

    /// Through which data are copied to the GPU.
    const Execution& execution() const { return model_.execution(); }

    const TrainingOptions& options() const { return options_; }
    /// What computes, for build_text.
    std::string backend() const { return execution().name() + (std::same_as<Activation, float> ? "" : " in bf16"); }
    /// Optimizer steps taken.
    Index steps() const { return optimizer_.steps(); }

    /// Divides `step`, `train_epoch` and `evaluate` among the ranks from now on, one GPU per rank; all of them call
    /// these with the same data at the same time. Each computes its samples of a batch (`samples_of_rank`), of which
    /// alone a batch in the host's memory may have the pixels; all of them end each call with the same weights and
    /// figures, whose bits do not depend on the number of ranks. Null ends that. `infer` stays with this process.
    /// Throws Error where `options().norm_ranks` asks for norms of each rank.
    void set_communicator(DeviceCommunicator* communicator) {
        if (communicator && options_.norm_ranks > 1)
            throw Error("norm_ranks is " + std::to_string(options_.norm_ranks) +
                        ", and on GPUs batch norms have the statistics of the whole batch; set 1, or train on the CPU");
        recorded_.clear();
        communicator_ = communicator;
        model_.set_communicator(communicator);
        averaged_model_.set_communicator(communicator);
    }

    /// One optimizer step on one batch of an epoch of `steps_per_epoch`. Throws Error where the loss, the
    /// gradient or a running mean or variance is not finite, or the batch is wrong; nothing has then changed.
    template <class Batch>
    LossSums step(const Batch& batch, Index steps_per_epoch) {
        bantam::detail::require_batch<SampleLoss>(batch, image, classes, rank());
        prepare_training(batch.count);
        send(batch);
        begin({settings_of(optimizer_.steps(), steps_per_epoch, 0)});
        take_step(batch.count, !batch.teacher_logits.empty(), [] {});
        const StepState<float> state = fetch_state();
        if (state.refused > 0) throw_refusal(batch, state.figures);
        optimizer_.set_steps(optimizer_.steps() + 1);
        return load_loss_sums(state.totals);
    }

    /// One step on each batch of `epoch` from batch `first` on, of which `sums` are those before it. Calls
    /// `on_step(index, count)` when a step has been launched, which is before it has finished, and
    /// `on_group(finished batches, sums)` when the device has finished some: what it throws ends the training, and the
    /// trainer's state belongs to these batches. Throws Error where the loss, the gradient or the statistics of a step
    /// are not finite; the state is then that before the step.
    template <TrainsOnGpu Data, class OnStep, class OnGroup>
    LossSums train_epoch(const Data& data, Index epoch, Index first, LossSums sums, OnStep&& on_step,
                         OnGroup&& on_group) {
        static_assert(!TargetLoss<Loss>, "data on a GPU have labels and no target values: train on batches instead");
        require_teacher(data.teacher_classes());
        const Index steps = data.batch_count();
        if (first >= steps) return sums;
        prepare_training(data.largest_batch());
        data.begin_epoch(execution(), epoch);
        const Index steps_before = optimizer_.steps() - first;
        std::vector<StepSettings<float>> settings;
        for (Index index = first; index < steps; ++index)
            settings.push_back(settings_of(steps_before + index, steps, data.batch_range(index).begin));
        begin(settings, sums);
        for (Index index = first; index < steps;) {
            const Index end = std::min(index + steps_per_group, steps);
            for (; index < end; ++index) {
                const Index count = data.batch_range(index).count();
                replay_step(data, count);
                on_step(index, count);
            }
            const StepState<float> state = fetch_state();
            if (state.refused > 0) {
                const Index refused = first + state.refused;
                optimizer_.set_steps(steps_before + refused - 1);
                throw Error(
                    "step " + std::to_string(refused) + " of epoch " + std::to_string(epoch + 1) +
                    (state.refused_for_statistics
                         ? " gave a running mean or variance that is not finite: the pixels are too large, or training "
                           "has diverged; scale them to about -2..2, or lower the learning rate where they are"
                         : " gave a loss or gradient that is not finite: training has diverged, or the teacher's "
                           "logits are broken; lower the learning rate or the clip norm, or warm up longer"));
            }
            optimizer_.set_steps(steps_before + end);
            sums = load_loss_sums(state.totals);
            on_group(end, sums);
        }
        return sums;
    }

    /// The same for a whole epoch.
    template <TrainsOnGpu Data, class OnStep>
    LossSums train_epoch(const Data& data, Index epoch, OnStep&& on_step) {
        return train_epoch(data, epoch, 0, {}, on_step, [](Index, const LossSums&) {});
    }

    /// The loss of a batch with the weights to keep, in inference mode. Throws Error as `step` does.
    template <class Batch>
    LossSums evaluate(const Batch& batch) {
        return evaluate(batch, [](std::span<const float>) {});
    }

    /// The same, and calls `on_logits` with the batch's logits [count][classes].
    template <class Batch, class OnLogits>
    LossSums evaluate(const Batch& batch, OnLogits&& on_logits) {
        bantam::detail::require_batch<SampleLoss>(batch, image, classes, rank());
        prepare(batch.count);
        send_pixels(batch);
        infer_samples(batch.count);
        const std::span<const float> logits = fetch_logits(batch.count);
        on_logits(logits);
        return bantam::detail::evaluation_loss(loss_, classes, logits, batch, image, rank());
    }

    /// The same for all data on the GPU.
    template <OnGpu Data>
    LossSums evaluate(const Data& data) {
        static_assert(!TargetLoss<Loss>, "data on a GPU have labels and no target values: evaluate batches instead");
        require_teacher(data.teacher_classes());
        prepare(data.largest_batch());
        begin({});
        StepState<float>* state = state_.data();
        Index samples = 0;
        for (Index index = 0; index < data.batch_count(); ++index) {
            const auto range = data.batch_range(index);
            data.fill(execution(), range, batch_, rank());
            infer_samples(range.count());
            batch_.find_loss(execution(), bantam::detail::evaluated(loss_), range.count(), classes,
                             data.teacher_classes() > 0, &state->figures);
            for_each_index(execution(), 1, detail::AddFigures<float>{state});
            samples += range.count();
        }
        const LossSums sums = load_loss_sums(fetch_state().totals);
        if (sums.count < samples)
            throw Error(
                std::to_string(samples - sums.count) +
                " pictures have logits that are not finite, or neither label nor teacher; training has diverged, "
                "lower the learning rate");
        return sums;
    }

    /// The logits [count][classes] of pictures [count][H][W][C] in the host's memory with the weights to keep,
    /// valid until the next call.
    std::span<const float> infer(std::span<const float> pixels) {
        const Index count = picture_count(pixels.size(), image.height, image.width, image.channels);
        prepare(count, count);
        copy_to_device(execution(), pixels.data(), count * sample_size, batch_.pixels.data());
        averaged().infer(batch_.pixels.data(), count, batch_.logits.data());
        return fetch_logits(count);
    }

    /// The same for batch `index` of data on the GPU; only the logits are copied to the host.
    template <OnGpu Data>
    std::span<const float> infer(const Data& data, Index index) {
        prepare(data.largest_batch(), data.largest_batch());
        const auto range = data.batch_range(index);
        data.fill(execution(), range, batch_);
        averaged().infer(batch_.pixels.data(), range.count(), batch_.logits.data());
        return fetch_logits(range.count());
    }

    /// The weights to keep, in the host's memory: averaged ones where averaging is on.
    std::span<const float> parameters() { return host_parameters_ = averaged().read_parameters(); }
    std::span<const float> statistics() { return host_statistics_ = averaged().read_statistics(); }

    /// Replaces the weights, as for inference with a stored student, and counts steps from 0. Throws Error on sizes
    /// that are not those of the network.
    void set_weights(std::span<const float> parameters, std::span<const float> statistics) {
        model_.set_weights(parameters, statistics);
        if (averages()) start_averages();
        optimizer_.set_steps(0);
        averaged_is_current_ = false;
    }

    /// Copies of everything that the next step depends on, valid until the next call of `state` or `restored`;
    /// call `restored` after writing to them.
    std::vector<TrainerState> state() {
        copies_.clear();
        copy_state("model.parameters", model_.parameters(), parameter_size);
        copy_state("model.statistics", model_.statistics(), statistic_size);
        for (const auto& buffer : optimizer_.state())
            copy_state(std::string{"optimizer."} + buffer.name, buffer.values, parameter_size);
        if (averages()) {
            copy_state("average.parameters", average_parameters_.data(), parameter_size);
            copy_state("average.statistics", average_statistics_.data(), statistic_size);
        }
        std::vector<TrainerState> states;
        for (StateCopy& copy : copies_) states.push_back({copy.name, copy.values});
        return states;
    }
    /// Copies what was written to `state()` to the device; `steps` is the count saved with it.
    void restored(Index steps) {
        for (const StateCopy& copy : copies_)
            copy_to_device(execution(), copy.values.data(), std::ssize(copy.values), copy.on_device);
        copies_.clear();
        optimizer_.set_steps(steps);
        averaged_is_current_ = false;
    }

private:
    using SampleLoss = bantam::detail::LossOf<Loss>;
    static constexpr Index sample_size = Model<Net, Activation>::input_elements;
    static constexpr Index parameter_size = trainable_parameters<Net>;
    static constexpr Index statistic_size = non_trainable_parameters<Net>;
    /// Waiting for the device between groups costs some 30 microseconds.
    static constexpr Index steps_per_group = 64;

    struct StateCopy {
        std::string name;
        float* on_device;
        std::vector<float> values;
    };

    static const TrainingOptions& checked(const TrainingOptions& options) {
        check(options);
        return options;
    }
    bool averages() const { return options_.averaging_decay > 0.0; }

    Rank rank() const { return communicator_ ? communicator_->rank() : Rank{}; }

    /// Memory for batches of `count`, of which this process computes `computed`; recorded steps are dropped where it
    /// moves.
    void prepare(Index count, Index computed) {
        if (batch_.reserve(count, computed, sample_size, classes, TargetLoss<Loss>)) recorded_.clear();
    }
    void prepare(Index count) { prepare(count, most_samples_of_rank(count, rank().count)); }
    void prepare_training(Index count) {
        prepare(count);
        model_.reserve(count, true);
        if (std::exchange(recorded_moves_, model_.moves()) != model_.moves()) recorded_.clear();
    }

    /// Copies the pixels of this rank's samples to the device.
    template <class Batch>
    void send_pixels(const Batch& batch) {
        const std::span<const float> pixels = bantam::detail::pixels_of_rank(batch, image, rank());
        copy_to_device(execution(), pixels.data(), std::ssize(pixels), batch_.pixels.data());
    }

    template <class Batch>
    void send(const Batch& batch) {
        const auto to = [&](const auto& from, auto& buffer) {
            copy_to_device(execution(), from.data(), std::ssize(from), buffer.data());
        };
        send_pixels(batch);
        if constexpr (TargetLoss<Loss>) {
            to(batch.targets, batch_.targets);
        } else {
            to(batch.labels, batch_.labels);
            const std::span<const std::uint8_t> mixed = bantam::detail::targets_of(batch).mixed;
            if (mixed.empty())
                to(std::vector<std::uint8_t>(static_cast<std::size_t>(batch.count)), batch_.mixed);
            else
                to(mixed, batch_.mixed);
            if (batch.teacher_logits.empty()) return;
            to(batch.teacher_logits, batch_.teacher_logits);
            to(batch.has_teacher, batch_.has_teacher);
        }
    }

    StepSettings<float> settings_of(Index step, Index steps_per_epoch, Index first_sample) const {
        StepSettings<float> settings{};
        settings.first_sample = first_sample;
        settings.dropout_seed = options_.dropout_seed(step);
        const double decay = averages() ? warmed_decay(options_.averaging_decay, step) : 0.0;
        optimizer_.set_rules({.learning_rate = options_.schedule(steps_per_epoch)(step), .averaging_decay = decay},
                             step + 1, settings);
        return settings;
    }

    /// Copies the settings of the next steps to the device, and the sums that theirs are added to.
    void begin(const std::vector<StepSettings<float>>& settings, const LossSums& sums = {}) {
        if (settings_.reserve(std::ssize(settings))) recorded_.clear();
        copy_to_device(execution(), settings.data(), std::ssize(settings), settings_.data());
        StepState<float> start{};
        store_loss_sums(sums, start.totals);
        copy_to_device(execution(), &start, 1, state_.data());
    }
    StepState<float> fetch_state() const {
        StepState<float> state;
        copy_to_host(execution(), state_.data(), 1, &state);
        return state;
    }

    /// One step by the next settings. All that changes from step to step is read from the device's memory, so that
    /// a recorded step can be replayed. `fill` fills the batch, after the settings have been loaded.
    template <class Fill>
    void take_step(Index count, bool taught, const Fill& fill) {
        StepState<float>* state = state_.data();
        for_each_index(execution(), std::max<Index>(statistic_size, 1),
                       detail::BeginStep<float>{settings_.data(), state, statistic_size, model_.statistics(),
                                                statistics_before_.data()});
        fill();
        const Index first_logit = samples_of_rank(count, rank()).begin * classes;
        model_.forward(batch_.pixels.data(), count, &state->settings.dropout_seed, batch_.logits.data() + first_logit);
        gather_logits(count);
        batch_.find_loss(execution(), loss_, count, classes, taught, &state->figures);
        model_.backward(batch_.logits_gradient.data() + first_logit, gradient_.data());
        optimizer_.step(execution(), state, count, gradient_.data(), model_.statistics(), model_.parameters(),
                        averages() ? average_parameters_.data() : nullptr);
        if (statistic_size > 0)
            for_each_index(execution(), statistic_size,
                           detail::FinishStatistics<float>{state, statistics_before_.data(), model_.statistics(),
                                                           averages() ? average_statistics_.data() : nullptr});
        averaged_is_current_ = false;
    }

    /// A step on the next `count` samples of the epoch. The first one of a data set and count is not recorded:
    /// cuBLAS, and kernels when they are loaded, may allocate memory, which a recording cannot contain.
    template <class Data>
    void replay_step(const Data& data, Index count) {
        const auto step = [&] {
            take_step(count, data.teacher_classes() > 0,
                      [&] { data.fill(execution(), &state_.data()->settings.first_sample, count, batch_, rank()); });
        };
        if (communicator_ && !communicator_->recordable()) return step();
        const std::shared_ptr<const void> identity = data.identity();
        for (RecordedStep& recorded : recorded_) {
            if (recorded.count != count || recorded.data != identity) continue;
            if (!recorded.work) recorded.work.emplace(execution(), step);
            recorded.work->replay(execution());
            averaged_is_current_ = false;
            return;
        }
        std::erase_if(recorded_, [&](const RecordedStep& recorded) { return recorded.data != identity; });
        recorded_.push_back({count, identity, std::nullopt});
        step();
    }

    static void require_teacher(Index teacher_classes) {
        if (teacher_classes != 0 && teacher_classes != classes)
            throw Error("the teacher's logits have " + std::to_string(teacher_classes) +
                        " classes, the network's have " + std::to_string(classes) +
                        "; name the logits of a teacher for these classes");
    }

    /// Throws the Error that the CPU would have thrown.
    template <class Batch>
    [[noreturn]] void throw_refusal(const Batch& batch, const StepFigures& figures) {
        bantam::detail::require_finite_pixels(batch, image, rank());
        std::vector<float> logits(static_cast<std::size_t>(batch.count * classes));
        copy_to_host(execution(), batch_.logits.data(), batch.count * classes, logits.data());
        bantam::loss_and_gradient<float>(loss_, classes, logits, bantam::detail::targets_of(batch), std::span<float>{});
        if (figures.statistics != 0) bantam::detail::refuse_statistics(batch.pixels);
        static_cast<void>(clip_scale(std::sqrt(figures.squared_norm), options_.clip_norm));
        throw Error("the training step was not taken, though loss and gradient are finite");
    }

    void start_averages() {
        copy_on_device(execution(), model_.parameters(), parameter_size, average_parameters_.data());
        copy_on_device(execution(), model_.statistics(), statistic_size, average_statistics_.data());
    }

    /// The model with the weights to keep, brought up to date.
    Model<Net, Activation>& averaged() {
        if (!averages()) return model_;
        if (!averaged_is_current_) {
            copy_on_device(execution(), average_parameters_.data(), parameter_size, averaged_model_.parameters());
            copy_on_device(execution(), average_statistics_.data(), statistic_size, averaged_model_.statistics());
            averaged_is_current_ = true;
        }
        return averaged_model_;
    }

    /// The logits of all ranks' samples. Every rank computes the loss of the whole batch, so that all of them find the
    /// same sums and refuse the same steps.
    void gather_logits(Index count) {
        if (communicator_)
            all_gather(execution(), *communicator_, batch_.logits.data(), classes,
                       [count](Rank of) { return samples_of_rank(count, of); });
    }

    /// The logits of the `count` samples in `batch_` with the weights to keep, those of all ranks.
    void infer_samples(Index count) {
        const IndexRange own = samples_of_rank(count, rank());
        averaged().infer(batch_.pixels.data(), own.count(), batch_.logits.data() + own.begin * classes);
        gather_logits(count);
    }

    /// The logits of `count` samples, in the host's memory.
    std::span<const float> fetch_logits(Index count) {
        host_logits_.resize(static_cast<std::size_t>(count * classes));
        copy_to_host(execution(), batch_.logits.data(), count * classes, host_logits_.data());
        return host_logits_;
    }

    void copy_state(std::string name, float* on_device, Index size) {
        StateCopy& copy = copies_.emplace_back(
            StateCopy{std::move(name), on_device, std::vector<float>(static_cast<std::size_t>(size))});
        copy_to_host(execution(), on_device, size, copy.values.data());
    }

    struct RecordedStep {
        Index count;
        std::shared_ptr<const void> data;
        std::optional<RecordedWork> work;
    };

    TrainingOptions options_;
    SampleLoss loss_;
    std::shared_ptr<const Execution> shared_execution_ = std::make_shared<Execution>();
    Model<Net, Activation> model_{shared_execution_}, averaged_model_{shared_execution_};
    Optimizer<Net, float> optimizer_;
    BatchMemory batch_;
    DeviceBuffer<float> gradient_, average_parameters_, average_statistics_, statistics_before_;
    DeviceBuffer<StepSettings<float>> settings_;
    DeviceBuffer<StepState<float>> state_;
    std::vector<RecordedStep> recorded_;
    Index recorded_moves_ = 0;  // model_.moves() when the steps were recorded
    std::vector<float> host_logits_, host_parameters_, host_statistics_;
    std::deque<StateCopy> copies_;
    bool averaged_is_current_ = false;
    DeviceCommunicator* communicator_ = nullptr;
};

}  // namespace cuda

template <class Net, class Loss>
class Trainer<Net, Cuda, Loss> : public cuda::GpuTrainer<Net, float, Loss> {
    using cuda::GpuTrainer<Net, float, Loss>::GpuTrainer;
};

template <class Net, class Loss>
class Trainer<Net, CudaBfloat16, Loss> : public cuda::GpuTrainer<Net, Bfloat16, Loss> {
    using cuda::GpuTrainer<Net, Bfloat16, Loss>::GpuTrainer;
};

}  // namespace bantam
