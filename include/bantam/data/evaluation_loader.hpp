// SPDX-License-Identifier: MIT
// Needs what data/picture_store.hpp and data/teacher_logits.hpp need.
#pragma once

#include <bantam/base/chunk.hpp>
#include <bantam/base/index.hpp>
#include <bantam/core/shape.hpp>
#include <bantam/data/assemble_batch.hpp>
#include <bantam/data/batch.hpp>
#include <bantam/data/batch_queue.hpp>
#include <bantam/data/color.hpp>
#include <bantam/data/picture_store.hpp>
#include <bantam/data/read_ahead.hpp>
#include <bantam/data/sample_plan.hpp>
#include <bantam/data/teacher_logits.hpp>
#include <bantam/data/view.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace bantam {

/// Cuts whole testing pictures in their order, for `infer` and `predict`. The pictures are not copied and must outlive
/// it. Every constructor throws Error where the input does not have three channels or the batch size is below 1.
class InferenceLoader {
public:
    /// `evaluate` and the validation of `fit` refuse such data at compile time.
    static constexpr bool inference_only = true;

    InferenceLoader(const TestPictures& pictures, Shape input, Index batch_size,
                    const Normalization& normalization = {})
        : InferenceLoader{pictures.store, input, batch_size, normalization} {}

    Index sample_count() const { return static_cast<Index>(store_->size()); }
    Index batch_count() const { return (sample_count() + batch_size_ - 1) / batch_size_; }

    /// All batches in order, prepared ahead on a worker thread.
    BatchQueue batches() const {
        const auto assemble_batch = [this](Index index, Batch& batch) { assemble(index, batch); };
        if (!store_->is_mapped()) return BatchQueue{batch_count(), assemble_batch};
        const auto pictures_of = [this](Index index, auto&& use) {
            const BatchRange range = batch_range(index);
            const IndexRange own = samples_of_rank(range.count(), rank_);
            for (Index slot = own.begin; slot < own.end; ++slot)
                use(std::span{pixels(range.begin + slot), store_->picture_bytes()});
        };
        return BatchQueue{batch_count(), detail::with_read_ahead(batch_count(), 0, pictures_of, assemble_batch)};
    }

    /// Where batch `index` lies among the pictures; the last batch may be smaller.
    BatchRange batch_range(Index index) const {
        return {index * batch_size_, std::min((index + 1) * batch_size_, sample_count())};
    }

    /// A loader of the same pictures that shows `view` of each.
    InferenceLoader showing(const View& view) const {
        InferenceLoader loader = *this;
        loader.view_ = view;
        return loader;
    }

    /// How picture `sample` is shown: whole, or as `showing` says.
    SamplePlan plan(Index sample) const {
        return {.sample = sample,
                .label = labels_ == nullptr ? -1 : (*labels_)[static_cast<std::size_t>(sample)],
                .teacher_view =
                    teacher_.logits == nullptr ? -1 : (teacher_.first_row + sample) * teacher_.logits->view_count,
                .view = view_,
                .colors = colors_};
    }

    /// A picture in memory, [stored_size][stored_size][3].
    const std::uint8_t* pixels(Index sample) const { return store_->pixels(static_cast<std::size_t>(sample)); }
    Index stored_size() const { return store_->stored_size(); }
    Shape input() const { return input_; }
    /// Null without a teacher.
    const TeacherLogits* teacher() const { return teacher_.logits; }

    /// Fills `batch` with batch `index`.
    void assemble(Index index, Batch& batch) const {
        const BatchRange range = batch_range(index);
        const auto plan_of = [&](Index slot) { return plan(range.begin + slot); };
        detail::assemble_batch(*this, range.count(), plan_of, rank_, batch);
    }

protected:
    InferenceLoader(const PictureStore& store, Shape input, Index batch_size, const Normalization& normalization,
                    const std::vector<int>* labels = nullptr, const TeacherRows& teacher = {}, Rank rank = {})
        : store_{&store},
          labels_{labels},
          input_{input},
          batch_size_{batch_size},
          colors_{compose(byte_colors(), normalize(normalization))},
          teacher_{teacher},
          rank_{rank} {
        detail::require_color_input(input_);
        detail::require_batch_size(batch_size_);
        if (teacher_.logits != nullptr) teacher_.require_rows(sample_count());
    }

private:
    const PictureStore* store_;
    const std::vector<int>* labels_;  // null: none
    Shape input_;
    Index batch_size_;
    ColorTransform colors_;
    TeacherRows teacher_;
    Rank rank_;
    View view_ = whole_view();
};

/// The same for pictures that are not for testing, which `evaluate` and the validation of `fit` take, too.
class EvaluationLoader : public InferenceLoader {
public:
    static constexpr bool inference_only = false;

    /// With labels and, where `teacher` names them, the teacher's logits of each whole picture; throws Error
    /// where labels or logits do not fit. They are not copied and must outlive the loader. Batches have the pixels of
    /// the samples that `rank` computes alone.
    EvaluationLoader(const LabeledPictures& pictures, Shape input, Index batch_size,
                     const Normalization& normalization = {}, const TeacherRows& teacher = {}, Rank rank = {})
        : InferenceLoader{pictures.store, input, batch_size, normalization, &pictures.labels, teacher, rank} {
        detail::require_labels(pictures);
    }

    EvaluationLoader(const UnlabeledPictures& pictures, Shape input, Index batch_size,
                     const Normalization& normalization = {})
        : InferenceLoader{pictures.store, input, batch_size, normalization} {}
};

}  // namespace bantam
