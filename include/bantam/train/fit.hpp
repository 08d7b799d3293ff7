// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/error.hpp>
#include <bantam/base/index.hpp>
#include <bantam/train/losses.hpp>
#include <bantam/train/metrics.hpp>
#include <bantam/train/progress.hpp>

#include <chrono>
#include <cstdio>
#include <optional>

namespace bantam {

/// The result of one epoch of training.
struct EpochReport {
    Index epoch = 0;     ///< finished epochs, this one included
    Metrics training;    ///< of the weights during the epoch, on augmented pictures
    Metrics validation;  ///< of the weights to keep, on whole pictures
    double learning_rate = 0;
    double images_per_second = 0;  ///< training alone
    double seconds = 0;            ///< training and validation
};

/// A point between two steps of a run. An epoch's number alone is that epoch's start.
struct TrainingPosition {
    TrainingPosition(Index at_epoch = 0, Index at_batch = 0, const LossSums& so_far = {})
        : epoch{at_epoch}, batch{at_batch}, sums{so_far} {}

    Index epoch;    ///< finished epochs
    Index batch;    ///< finished batches of the next epoch
    LossSums sums;  ///< of those batches
};

namespace detail {

/// Data in the memory of the trainer's device, which the trainer reads by itself.
template <class Trainer, class Data>
concept OnDeviceOf = requires(Trainer& trainer, const Data& data) {
    typename Data::Device;
    trainer.evaluate(data);
};

/// The batches of an epoch from batch `first` on. A loader that cannot begin there prepares the earlier ones, too.
template <class Training>
auto batches_from(const Training& training, Index epoch, Index first) {
    if constexpr (requires { training.batches(epoch, first); }) {
        return training.batches(epoch, first);
    } else {
        auto batches = training.batches(epoch);
        for (Index index = 0; index < first; ++index) batches.next();
        return batches;
    }
}

/// One epoch of training, or the rest of it from `start` on; calls `on_step(index, count, sums)` after each batch,
/// without sums where they stay on the device until the epoch's end.
template <class Trainer, class Training, class OnStep>
LossSums train_epoch(Trainer& trainer, const Training& training, const TrainingPosition& start, OnStep&& on_step) {
    LossSums sums = start.sums;
    if constexpr (OnDeviceOf<Trainer, Training>) {
        sums = trainer.train_epoch(training, start.epoch,
                                   [&](Index index, Index count) { on_step(index, count, LossSums{}); });
    } else {
        Index index = start.batch;
        auto batches = batches_from(training, start.epoch, start.batch);
        while (const auto* batch = batches.next()) {
            sums += trainer.step(*batch, training.batch_count());
            on_step(index++, batch->count, sums);
        }
    }
    return sums;
}

}  // namespace detail

/// Metrics of a whole data set with the weights to keep. `data` has `batches()`, or lies on the trainer's device.
/// Throws Error as the trainer's `evaluate` does.
template <class Trainer, class Data>
Metrics evaluate(Trainer& trainer, const Data& data) {
    LossSums sums;
    if constexpr (detail::OnDeviceOf<Trainer, Data>) {
        sums = trainer.evaluate(data);
    } else {
        auto batches = data.batches();
        while (const auto* batch = batches.next()) sums += trainer.evaluate(*batch);
    }
    return summarize(sums);
}

/// The logits of every picture of a data set with the weights to keep: calls `on_logits([count][classes])` once per
/// batch, in the order of the data. `data` is what `evaluate` takes; its labels are not read.
template <class Trainer, class Data, class OnLogits>
void infer(Trainer& trainer, const Data& data, OnLogits&& on_logits) {
    if constexpr (detail::OnDeviceOf<Trainer, Data>) {
        for (Index index = 0; index < data.batch_count(); ++index) on_logits(trainer.infer(data, index));
    } else {
        auto batches = data.batches();
        while (const auto* batch = batches.next()) on_logits(trainer.infer(batch->pixels));
    }
}

/// Trains from `start`, 0 for a new run, to the end of epoch `options().epochs`; after each epoch calls
/// `on_epoch(EpochReport, Progress)`, and after each step `on_step(TrainingPosition)`. What either throws ends the
/// training; the trainer's state then belongs to the position that was passed. `training` has `batch_count()` and
/// `batches(epoch)`, `validation` has `batches()`: testing pictures have no `batches(epoch)` and do not compile as
/// `training`. Either may lie on the trainer's device (cuda::TrainingData); an epoch is then one piece of work, in
/// which no step is reported and training cannot start. Shows its progress on `stream`. Throws Error as the trainer's
/// `step` and `evaluate` do, and where `start` lies within an epoch on a device.
template <class Trainer, class Training, class Validation, class OnEpoch, class OnStep>
void fit(Trainer& trainer, const Training& training, const Validation& validation, TrainingPosition start,
         std::FILE* stream, OnEpoch&& on_epoch, OnStep&& on_step) {
    const auto seconds = [] {
        return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
    };
    constexpr bool on_device = detail::OnDeviceOf<Trainer, Training>;
    if (on_device && start.batch != 0)
        throw Error{
            "the run was interrupted within an epoch, where training on a GPU cannot start; resume it on the "
            "CPU, or start anew"};
    const Index steps = training.batch_count();
    Progress progress{{trainer.options().epochs, steps, start.epoch * steps + start.batch}, stream};
    for (; start.epoch < trainer.options().epochs; start = start.epoch + 1) {
        EpochReport report;
        report.epoch = start.epoch + 1;
        report.learning_rate = trainer.options().schedule(steps)(trainer.steps() - start.batch);
        const double begun = seconds();
        const LossSums sums =
            detail::train_epoch(trainer, training, start, [&](Index index, Index count, const LossSums& sums_so_far) {
                const Metrics so_far = summarize(sums_so_far);
                progress.update(start.epoch, index, count, so_far.loss, so_far.accuracy);
                if constexpr (!on_device) on_step(TrainingPosition{start.epoch, index + 1, sums_so_far});
            });
        const double trained = seconds();
        progress.pause();
        report.training = summarize(sums);
        report.validation = evaluate(trainer, validation);
        report.images_per_second = static_cast<double>(sums.count - start.sums.count) / (trained - begun);
        report.seconds = seconds() - begun;
        on_epoch(report, progress);
        progress.resume();
    }
}

/// The same without a call after each step.
template <class Trainer, class Training, class Validation, class OnEpoch>
void fit(Trainer& trainer, const Training& training, const Validation& validation, const TrainingPosition& start,
         std::FILE* stream, OnEpoch&& on_epoch) {
    fit(trainer, training, validation, start, stream, on_epoch, [](const TrainingPosition&) {});
}

}  // namespace bantam
