// SPDX-License-Identifier: MIT
// Needs what data/training_loader.hpp needs.
#pragma once

#include <bantam/base/chunk.hpp>
#include <bantam/base/float16.hpp>
#include <bantam/base/index.hpp>
#include <bantam/cuda/data/pictures.hpp>
#include <bantam/cuda/runtime/execution.hpp>
#include <bantam/cuda/training/batch_memory.hpp>
#include <bantam/data/evaluation_loader.hpp>
#include <bantam/data/sample_plan.hpp>
#include <bantam/data/teacher_logits.hpp>
#include <bantam/data/training_loader.hpp>
#include <bantam/train/device.hpp>

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace bantam::cuda {

template <class Net, class Activation, class Loss>
class GpuTrainer;

namespace detail {

/// The targets of a planned sample.
struct PlannedTarget {
    std::int32_t label = -1;
    Index teacher_view = -1;
    bool mixed = false;
};

/// Fills the labels, the mask of mixed pictures, the teacher logits [count][classes] and their mask of a batch, one
/// sample per call.
struct FillTargets {
    const PlannedTarget* targets;
    const Index* first;          // null: 0
    const float* all_logits;     // [image · view][class]; null where they are halves
    const Float16* half_logits;  // null where they are floats
    Index classes;
    std::int32_t* labels;
    float* logits;
    std::uint8_t *has_teacher, *mixed;
    BANTAM_HOST_DEVICE void operator()(Index slot) const {
        const PlannedTarget& target = targets[slot + (first ? *first : 0)];
        labels[slot] = target.label;
        mixed[slot] = target.mixed;
        if (!all_logits && !half_logits) return;
        has_teacher[slot] = target.teacher_view >= 0;
        const auto stored = [&](Index i) { return all_logits ? all_logits[i] : static_cast<float>(half_logits[i]); };
        for (Index c = 0; c < classes; ++c)
            logits[slot * classes + c] = target.teacher_view >= 0 ? stored(target.teacher_view * classes + c) : 0;
    }
};

/// A loader's pictures, targets and teacher logits on the device, and a plan of how its samples are shown.
class PictureData {
public:
    template <class Loader>
    PictureData(const Execution& execution, const Loader& loader)
        : input_{loader.input()}, pictures_{execution, pixels_of(loader), loader.stored_size()} {
        cuts_.reserve(loader.sample_count());
        targets_.reserve(loader.sample_count());
        if (const TeacherLogits* teacher = loader.teacher()) {
            classes_ = teacher->class_count();
            copy_all(execution, teacher->logits.floats(), logits_);
            copy_all(execution, teacher->logits.halves(), half_logits_);
        }
    }

    /// Classes of the teacher, 0 without one.
    Index teacher_classes() const { return classes_; }

    void set_plan(const Execution& execution, const std::vector<SamplePlan>& plan) {
        std::vector<Cut> cuts;
        std::vector<PlannedTarget> targets;
        for (const SamplePlan& sample : plan) {
            cuts.emplace_back(sample);
            targets.push_back({sample.label, sample.teacher_view, sample.mixed()});
        }
        copy_to_device(execution, cuts.data(), std::ssize(cuts), cuts_.data());
        copy_to_device(execution, targets.data(), std::ssize(targets), targets_.data());
    }

    /// Fills the targets of planned samples [offset + *first, … + count) into `batch`, and cuts the pixels of those
    /// that `rank` computes; a null `first` stands for 0.
    void fill(const Execution& execution, Index offset, const Index* first, Index count, BatchMemory& batch,
              Rank rank) const {
        const IndexRange own = samples_of_rank(count, rank);
        pictures_.cut(execution, cuts_.data() + offset + own.begin, first, own.count(), input_, batch.pixels.data());
        for_each_index(execution, count,
                       FillTargets{targets_.data() + offset, first, logits_.data(), half_logits_.data(), classes_,
                                   batch.labels.data(), batch.teacher_logits.data(), batch.has_teacher.data(),
                                   batch.mixed.data()});
    }

private:
    // An empty buffer's data are null.
    template <class T>
    static void copy_all(const Execution& execution, std::span<const T> values, DeviceBuffer<T>& buffer) {
        if (values.empty()) return;
        buffer.reserve(std::ssize(values));
        copy_to_device(execution, values.data(), std::ssize(values), buffer.data());
    }

    template <class Loader>
    static std::vector<const std::uint8_t*> pixels_of(const Loader& loader) {
        std::vector<const std::uint8_t*> pixels;
        for (Index sample = 0; sample < loader.sample_count(); ++sample) pixels.push_back(loader.pixels(sample));
        return pixels;
    }

    Shape input_;
    PictureSet pictures_;
    DeviceBuffer<Cut> cuts_;
    DeviceBuffer<PlannedTarget> targets_;
    DeviceBuffer<float> logits_;
    DeviceBuffer<Float16> half_logits_;
    Index classes_ = 0;
};

}  // namespace detail

/// The data of a TrainingLoader in the device's memory: pictures, labels and teacher logits are copied once, the
/// order, views and colors at the beginning of each epoch. Batches are cut on the device and equal the loader's.
/// The loader must outlive it.
class TrainingData {
public:
    using Device = Cuda;

    TrainingData(const Execution& execution, const TrainingLoader& loader)
        : loader_{&loader}, data_{std::make_unique<detail::PictureData>(execution, loader)} {}

    Index batch_count() const { return loader_->batch_count(); }
    Index largest_batch() const { return loader_->largest_batch(); }
    BatchRange batch_range(Index index) const { return loader_->batch_range(index); }
    Index teacher_classes() const { return data_->teacher_classes(); }

    /// Copies the plan of every sample of `epoch` to the device.
    void begin_epoch(const Execution& execution, Index epoch) const {
        std::vector<SamplePlan> plan;
        for (const Index sample : loader_->epoch_order(epoch)) plan.push_back(loader_->plan(epoch, sample));
        data_->set_plan(execution, plan);
    }

    /// Fills in `count` samples of the epoch, from `*first` on the device, with the pixels of those of `rank`.
    void fill(const Execution& execution, const Index* first, Index count, BatchMemory& batch, Rank rank = {}) const {
        data_->fill(execution, 0, first, count, batch, rank);
    }

    /// Identifies this data set's memory, as long as the pointer is held.
    std::shared_ptr<const void> identity() const { return identity_; }

private:
    const TrainingLoader* loader_;
    std::unique_ptr<detail::PictureData> data_;
    std::shared_ptr<const char> identity_ = std::make_shared<const char>();
};

/// The data of an InferenceLoader in the device's memory. The loader must outlive it.
class InferenceData {
public:
    using Device = Cuda;
    static constexpr bool inference_only = true;

    InferenceData(const Execution& execution, const InferenceLoader& loader)
        : loader_{&loader}, data_{std::make_unique<detail::PictureData>(execution, loader)} {
        std::vector<SamplePlan> plan;
        for (Index sample = 0; sample < loader.sample_count(); ++sample) plan.push_back(loader.plan(sample));
        data_->set_plan(execution, plan);
    }

    Index batch_count() const { return loader_->batch_count(); }
    /// The label of a sample, −1 without one.
    Index label(Index sample) const { return loader_->plan(sample).label; }
    Index largest_batch() const { return loader_->batch_count() == 0 ? 0 : loader_->batch_range(0).count(); }
    BatchRange batch_range(Index index) const { return loader_->batch_range(index); }
    Index teacher_classes() const { return data_->teacher_classes(); }

    /// Fills in the samples of `range`, with the pixels of those of `rank`.
    void fill(const Execution& execution, const BatchRange& range, BatchMemory& batch, Rank rank = {}) const {
        data_->fill(execution, range.begin, nullptr, range.count(), batch, rank);
    }

private:
    const InferenceLoader* loader_;
    std::unique_ptr<detail::PictureData> data_;
};

/// The same of an EvaluationLoader, for validation, too.
class EvaluationData : public InferenceData {
public:
    static constexpr bool inference_only = false;

    EvaluationData(const Execution& execution, const EvaluationLoader& loader) : InferenceData{execution, loader} {}
};

}  // namespace bantam::cuda

namespace bantam {

/// A loader in the form in which the trainer is fastest, for `fit`, `evaluate` and `infer`: its pictures in the GPU's
/// memory.
template <class Net, class Activation, class Loss>
cuda::TrainingData on_device(const cuda::GpuTrainer<Net, Activation, Loss>& trainer, const TrainingLoader& loader) {
    return {trainer.execution(), loader};
}
template <class Net, class Activation, class Loss>
cuda::InferenceData on_device(const cuda::GpuTrainer<Net, Activation, Loss>& trainer, const InferenceLoader& loader) {
    return {trainer.execution(), loader};
}
template <class Net, class Activation, class Loss>
cuda::EvaluationData on_device(const cuda::GpuTrainer<Net, Activation, Loss>& trainer, const EvaluationLoader& loader) {
    return {trainer.execution(), loader};
}

}  // namespace bantam
