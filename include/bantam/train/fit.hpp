// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/error.hpp>
#include <bantam/base/index.hpp>
#include <bantam/base/number_text.hpp>
#include <bantam/core/shape.hpp>
#include <bantam/train/confusion_matrix.hpp>
#include <bantam/train/losses.hpp>
#include <bantam/train/metrics.hpp>
#include <bantam/train/progress.hpp>

#include <algorithm>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

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

/// Data whose batches need the picture's shape and the batch size, such as ArrayData.
template <class Data>
concept Unbatched = requires(const Data& data) { data.loader(Shape{}, Index{}, Index{}, std::uint64_t{}); };

/// Data without labels to compare with, such as the testing pictures of an InferenceLoader.
template <class Data>
concept InferenceOnly = requires { requires Data::inference_only; };

struct IgnoreStep {
    template <class... Facts>
    void operator()(const Facts&...) const {}
};

/// A cpu::Model, or a Trainer that is not const: before it infers it brings the weights to keep up to date.
template <class Trained>
concept Infers = requires(Trained& trained, std::span<const float> pixels) { trained.infer(pixels); };

/// What `infer` reads.
template <class Trained, class Data>
concept Readable =
    Unbatched<Data> || OnDeviceOf<Trained, Data> || requires(const Data& data) { data.batches().next(); };
template <class Trainer, class Data>
concept Evaluable = Readable<Trainer, Data> && !InferenceOnly<Data>;
template <class Trainer, class Data>
concept TrainsOn = Unbatched<Data> || requires(const Data& data) {
    data.batch_count();
    data.batches(Index{}).next();
} || requires(Trainer& trainer, const Data& data) {
    trainer.train_epoch(data, Index{}, Index{}, LossSums{}, IgnoreStep{}, IgnoreStep{});
};

/// A function that `fit` calls after an epoch.
template <class OnEpoch>
concept EpochCallback =
    std::invocable<OnEpoch&, const EpochReport&, Progress&> || std::invocable<OnEpoch&, const EpochReport&>;

/// The data as they are, or their loader for a network.
template <class Trained, class Data>
decltype(auto) loaded(const Trained&, const Data& data, [[maybe_unused]] Index batch_size,
                      [[maybe_unused]] std::uint64_t seed) {
    if constexpr (Unbatched<Data>)
        return data.loader(Trained::image, Trained::classes, batch_size, seed);
    else
        return (data);
}

/// The batch size of inference, where the data have none. Logits do not depend on it.
inline constexpr Index inference_batch = 64;

/// Calls `on_answer(class)` with the most likely class of each sample.
template <class OnAnswer>
void for_each_answer(Index classes, std::span<const float> logits, OnAnswer&& on_answer) {
    for (const auto width = static_cast<std::size_t>(classes); !logits.empty(); logits = logits.subspan(width))
        on_answer(most_likely_class(classes, logits.data()));
}

/// Calls `on_epoch` with the report, and with the progress where it takes that; whether training goes on.
template <class OnEpoch>
bool goes_on(OnEpoch& on_epoch, const EpochReport& report, Progress& progress) {
    const auto call = [&] {
        if constexpr (std::invocable<OnEpoch&, const EpochReport&, Progress&>)
            return on_epoch(report, progress);
        else
            return on_epoch(report);
    };
    if constexpr (std::convertible_to<decltype(call()), bool>) {
        return call();
    } else {
        call();
        return true;
    }
}

/// The line that `fit` prints after an epoch.
struct PrintEpoch {
    void operator()(const EpochReport& report, Progress& progress) const {
        std::string text = "epoch " + std::to_string(report.epoch);
        for (const auto& [name, metrics] :
             {std::pair{"  training", &report.training}, {"  validation", &report.validation}}) {
            text += std::string{name} + " loss " + fixed_text(metrics->loss.value_or(0.0), 4);
            if (metrics->accuracy) text += " accuracy " + fixed_text(100.0 * *metrics->accuracy, 1) + " %";
        }
        progress.print(text + "  " + fixed_text(report.seconds, 1) + " s");
    }
};

/// What is wrong with a call of `fit`.
enum class FitMistake { none, constant, no_data, training, validation, callback };

template <class Trainer, class Training = void, class Validation = void, class OnEpoch = PrintEpoch, class... Others>
constexpr FitMistake fit_mistake() {
    if constexpr (std::is_const_v<Trainer>)
        return FitMistake::constant;
    else if constexpr (std::is_void_v<Validation>)
        return FitMistake::no_data;
    else if constexpr (!TrainsOn<Trainer, Training>)
        return FitMistake::training;
    else if constexpr (!Evaluable<Trainer, Validation>)
        return FitMistake::validation;
    else if constexpr (sizeof...(Others) < 2 && !EpochCallback<OnEpoch>)
        return FitMistake::callback;
    else
        return FitMistake::none;  // with more arguments the fourth is a position
}

/// One epoch of training, or the rest of it from `start` on; calls `on_batch(index, count, sums)` after each batch,
/// without sums where they stay on the device, and then `on_step(TrainingPosition)`, on a device after some batches.
template <class Trainer, class Training, class OnBatch, class OnStep>
LossSums train_epoch(Trainer& trainer, const Training& training, const TrainingPosition& start, OnBatch&& on_batch,
                     OnStep&& on_step) {
    LossSums sums = start.sums;
    if constexpr (OnDeviceOf<Trainer, Training>) {
        sums = trainer.train_epoch(
            training, start.epoch, start.batch, sums,
            [&](Index index, Index count) { on_batch(index, count, LossSums{}); },
            [&](Index finished, const LossSums& so_far) { on_step(TrainingPosition{start.epoch, finished, so_far}); });
    } else {
        Index index = start.batch;
        auto batches = batches_from(training, start.epoch, start.batch);
        while (const auto* batch = batches.next()) {
            sums += trainer.step(*batch, training.batch_count());
            on_batch(index++, batch->count, sums);
            on_step(TrainingPosition{start.epoch, index, sums});
        }
    }
    return sums;
}

/// The figures of an epoch's validation.
template <class Trainer, class Data>
Metrics metrics(Trainer& trainer, const Data& data) {
    LossSums sums;
    if constexpr (OnDeviceOf<Trainer, Data>) {
        sums = trainer.evaluate(data);
    } else {
        auto batches = data.batches();
        while (const auto* batch = batches.next()) sums += trainer.evaluate(*batch);
    }
    return summarize(sums);
}

}  // namespace detail

/// The figures of a data set, and where its samples are labeled, how often each class was answered for each label.
struct Evaluation : Metrics {
    ConfusionMatrix confusion;
};

/// The logits of every picture of a data set with the weights to keep: calls `on_logits([count][classes])` once per
/// batch, in the order of the data. `trained` is a Trainer, or a cpu::Model, which several threads may use at the same
/// time; `data` is what `evaluate` takes, or testing pictures (InferenceLoader); labels are not read.
template <class Trained, class Data, class OnLogits>
void infer(Trained& trained, const Data& data, OnLogits&& on_logits) {
    constexpr bool readable = detail::Readable<Trained, Data>;  // of a concept, clang would print the whole check
    static_assert(readable,
                  "infer and predict read ArrayData, pixels in memory, an EvaluationLoader, or an InferenceLoader of "
                  "testing pictures");
    constexpr bool infers = detail::Infers<Trained> || detail::OnDeviceOf<Trained, Data>;
    static_assert(infers, "infer and predict take a cpu::Model, or a Trainer that is not const: leave out const");
    if constexpr (detail::OnDeviceOf<Trained, Data>) {
        for (Index index = 0; index < data.batch_count(); ++index) on_logits(trained.infer(data, index));
    } else if constexpr (readable && infers) {
        const auto& loader = detail::loaded(trained, data, detail::inference_batch, 0);
        auto batches = loader.batches();
        while (const auto* batch = batches.next())
            on_logits(trained.infer(std::span<const float>{batch->pixels.data(), batch->pixels.size()}));
    }
}

/// The most likely class of every picture of a data set; the arguments are those of `infer`.
template <class Trained, class Data>
std::vector<int> predict(Trained& trained, const Data& data) {
    std::vector<int> answers;
    infer(trained, data, [&](std::span<const float> logits) {
        detail::for_each_answer(Trained::classes, logits,
                                [&](Index answer) { answers.push_back(static_cast<int>(answer)); });
    });
    return answers;
}

/// Evaluates the weights to keep on a whole data set: ArrayData, a loader with `batches()`, or data on the trainer's
/// device. Throws Error as the trainer's `evaluate` does.
template <class Trainer, class Data>
Evaluation evaluate(Trainer& trainer, const Data& data) {
    constexpr bool evaluable = detail::Evaluable<Trainer, Data>;
    static_assert(
        evaluable,
        "evaluate reads labels, of ArrayData or an EvaluationLoader; testing pictures are for inference only");
    constexpr bool changes = !std::is_const_v<Trainer>;
    static_assert(changes, "evaluate takes a Trainer that is not const: leave out const");
    LossSums sums;
    ConfusionMatrix confusion{Trainer::classes};
    if constexpr (detail::OnDeviceOf<Trainer, Data>) {
        sums = trainer.evaluate(data);
        Index sample = 0;
        infer(trainer, data, [&](std::span<const float> logits) {
            detail::for_each_answer(Trainer::classes, logits, [&](Index answer) {
                if (const Index label = data.label(sample++); label >= 0) confusion.add(label, answer);
            });
        });
    } else if constexpr (evaluable && changes) {
        const auto& loader = detail::loaded(trainer, data, detail::inference_batch, 0);
        auto batches = loader.batches();
        while (const auto* batch = batches.next()) {
            sums += trainer.evaluate(*batch, [&](std::span<const float> logits) {
                std::size_t sample = 0;
                if (batch->labels.empty()) return;
                detail::for_each_answer(Trainer::classes, logits, [&](Index answer) {
                    if (const Index label = batch->labels[sample++]; label >= 0) confusion.add(label, answer);
                });
            });
        }
    }
    return {summarize(sums), std::move(confusion)};
}

/// Trains from `start`, 0 for a new run, to the end of epoch `options().epochs`; after each epoch calls
/// `on_epoch(EpochReport, Progress)` or `on_epoch(EpochReport)`, which may return false to stop, and after each step
/// `on_step(TrainingPosition)`. What either throws ends the training; the trainer's state then belongs to the position
/// that was passed. `training` and `validation` are ArrayData, or loaders: `training` has `batch_count()` and
/// `batches(epoch)`, `validation` has `batches()`. Testing pictures compile as neither. Either may lie on the trainer's
/// device (cuda::TrainingData); `on_step` is then called after each group of steps. Shows its progress on `stream`
/// unless that is null. Returns the reports. Throws Error as the trainer's `step` and `evaluate` do, where there is
/// nothing to train on, and where `start` is negative or lies beyond an epoch's end.
template <class Trainer, class Training, class Validation, class OnEpoch, class OnStep>
    requires(detail::fit_mistake<Trainer, Training, Validation>() == detail::FitMistake::none)
std::vector<EpochReport> fit(Trainer& trainer, const Training& training, const Validation& validation,
                             TrainingPosition start, std::FILE* stream, OnEpoch&& on_epoch, OnStep&& on_step) {
    const auto seconds = [] {
        return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
    };
    const auto& training_loader =
        detail::loaded(trainer, training, trainer.options().batch_size, trainer.options().seed);
    const auto& validation_loader = detail::loaded(trainer, validation, detail::inference_batch, 0);
    const Index steps = training_loader.batch_count();
    if constexpr (detail::Unbatched<Validation>) {
        // Fails now, not after an epoch, where the validation lacks what the loss reads.
        auto batches = validation_loader.batches();
        trainer.evaluate(*batches.next());
    }
    if (steps == 0) throw Error{"there are no pictures to train on; give at least one"};
    if (start.epoch < 0 || start.batch < 0)
        throw Error{"training cannot start at epoch " + std::to_string(start.epoch) + ", batch " +
                    std::to_string(start.batch) + "; both are counted from 0"};
    if (start.batch > steps)
        throw Error{"the run was interrupted after batch " + std::to_string(start.batch) + " of an epoch of " +
                    std::to_string(steps) + "; name the data it was trained on, or start anew"};
    std::vector<EpochReport> history;
    Progress progress{{trainer.options().epochs, steps, start.epoch * steps + start.batch}, stream};
    for (; start.epoch < trainer.options().epochs; start = start.epoch + 1) {
        EpochReport report;
        report.epoch = start.epoch + 1;
        report.learning_rate = trainer.options().schedule(steps)(trainer.steps() - start.batch);
        const double begun = seconds();
        const LossSums sums = detail::train_epoch(
            trainer, training_loader, start,
            [&](Index index, Index count, const LossSums& sums_so_far) {
                const Metrics so_far = summarize(sums_so_far);
                progress.update(start.epoch, index, count, so_far.loss, so_far.accuracy);
            },
            on_step);
        const double trained = seconds();
        progress.pause();
        report.training = summarize(sums);
        report.validation = detail::metrics(trainer, validation_loader);
        report.images_per_second = static_cast<double>(sums.count - start.sums.count) / (trained - begun);
        report.seconds = seconds() - begun;
        history.push_back(report);
        const bool goes_on = detail::goes_on(on_epoch, report, progress);
        progress.resume();
        if (!goes_on) break;
    }
    return history;
}

/// The same without a call after each step.
template <class Trainer, class Training, class Validation, class OnEpoch>
    requires(detail::fit_mistake<Trainer, Training, Validation>() == detail::FitMistake::none)
std::vector<EpochReport> fit(Trainer& trainer, const Training& training, const Validation& validation,
                             const TrainingPosition& start, std::FILE* stream, OnEpoch&& on_epoch) {
    return fit(trainer, training, validation, start, stream, on_epoch, detail::IgnoreStep{});
}

/// The same from the epoch that the trainer has reached: from the first one, or where `on_epoch` stopped an earlier
/// call, or where the restored state was saved. Without `on_epoch` it prints a line per epoch.
template <class Trainer, class Training, class Validation, class OnEpoch = detail::PrintEpoch>
    requires(detail::fit_mistake<Trainer, Training, Validation, OnEpoch>() == detail::FitMistake::none)
std::vector<EpochReport> fit(Trainer& trainer, const Training& training, const Validation& validation,
                             OnEpoch&& on_epoch = {}, std::FILE* stream = stderr) {
    const auto& loader = detail::loaded(trainer, training, trainer.options().batch_size, trainer.options().seed);
    const Index finished = trainer.steps() / std::max<Index>(loader.batch_count(), 1);
    return fit(trainer, loader, validation, TrainingPosition{finished}, stream, on_epoch);
}

/// Calls that the functions above do not take: says why not.
template <class Trainer, class... Arguments>
    requires(detail::fit_mistake<Trainer, Arguments...>() != detail::FitMistake::none)
std::vector<EpochReport> fit(Trainer&, const Arguments&...) {
    using enum detail::FitMistake;
    constexpr detail::FitMistake mistake = detail::fit_mistake<Trainer, Arguments...>();
    static_assert(mistake != constant, "fit trains its trainer, which is const here: leave out const");
    static_assert(mistake != no_data, "fit takes a trainer and two data sets: fit(trainer, training, validation)");
    static_assert(mistake != training,
                  "fit trains on ArrayData or on a TrainingLoader; testing pictures are for inference only");
    static_assert(mistake != validation,
                  "fit validates on ArrayData or on an EvaluationLoader; testing pictures are for inference only");
    static_assert(
        mistake != callback,
        "the fourth argument of fit is called after each epoch, with an EpochReport; the stream is the fifth");
    return {};
}

}  // namespace bantam
