// SPDX-License-Identifier: MIT
#pragma once

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

namespace detail {

/// Data in the memory of the trainer's device, which the trainer reads by itself.
template <class Trainer, class Data>
concept OnDeviceOf = requires(Trainer& trainer, const Data& data) {
    typename Data::Device;
    trainer.evaluate(data);
};

/// One epoch of training; calls `on_step(index, count, sums)` after each batch, without sums where they stay on
/// the device until the epoch's end.
template <class Trainer, class Training, class OnStep>
LossSums train_epoch(Trainer& trainer, const Training& training, Index epoch, OnStep&& on_step) {
    LossSums sums;
    if constexpr (OnDeviceOf<Trainer, Training>) {
        sums =
            trainer.train_epoch(training, epoch, [&](Index index, Index count) { on_step(index, count, LossSums{}); });
    } else {
        Index index = 0;
        auto batches = training.batches(epoch);
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
        while (const auto* batch = batches.next()) on_logits(trainer.infer(batch->pixels.data(), batch->count));
    }
}

/// Trains epochs `first_epoch` … `options().epochs − 1`; after each calls `on_epoch(EpochReport, Progress)`.
/// `training` has `batch_count()` and `batches(epoch)`, `validation` has `batches()`: testing pictures have no
/// `batches(epoch)` and do not compile as `training`. Either may lie on the trainer's device
/// (cuda::TrainingData). Shows its progress on `stream`. Throws Error as the trainer's `step` and `evaluate` do.
template <class Trainer, class Training, class Validation, class OnEpoch>
void fit(Trainer& trainer, const Training& training, const Validation& validation, Index first_epoch, std::FILE* stream,
         OnEpoch&& on_epoch) {
    const auto seconds = [] {
        return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
    };
    const Index steps = training.batch_count();
    Progress progress{{trainer.options().epochs, steps, first_epoch}, stream};
    for (Index epoch = first_epoch; epoch < trainer.options().epochs; ++epoch) {
        EpochReport report;
        report.epoch = epoch + 1;
        report.learning_rate = trainer.options().schedule(steps)(trainer.steps());
        const double start = seconds();
        const LossSums sums =
            detail::train_epoch(trainer, training, epoch, [&](Index index, Index count, const LossSums& sums_so_far) {
                const Metrics so_far = summarize(sums_so_far);
                progress.update(epoch, index, count, so_far.loss, so_far.accuracy);
            });
        const double trained = seconds();
        progress.pause();
        report.training = summarize(sums);
        report.validation = evaluate(trainer, validation);
        report.images_per_second = static_cast<double>(sums.count) / (trained - start);
        report.seconds = seconds() - start;
        on_epoch(report, progress);
        progress.resume();
    }
}

}  // namespace bantam
