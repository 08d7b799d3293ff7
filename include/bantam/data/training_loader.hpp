// SPDX-License-Identifier: MIT
// Needs what data/picture_store.hpp and data/teacher_logits.hpp need.
#pragma once

#include <bantam/base/chunk.hpp>
#include <bantam/base/error.hpp>
#include <bantam/base/index.hpp>
#include <bantam/base/printable.hpp>
#include <bantam/base/random.hpp>
#include <bantam/core/shape.hpp>
#include <bantam/data/assemble_batch.hpp>
#include <bantam/data/batch.hpp>
#include <bantam/data/batch_queue.hpp>
#include <bantam/data/color.hpp>
#include <bantam/data/epoch.hpp>
#include <bantam/data/online_teacher.hpp>
#include <bantam/data/picture_store.hpp>
#include <bantam/data/read_ahead.hpp>
#include <bantam/data/sample_plan.hpp>
#include <bantam/data/stored_view.hpp>
#include <bantam/data/teacher_logits.hpp>
#include <bantam/data/view.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace bantam {

/// What training batches are made of.
struct LoaderOptions {
    Shape input{128, 128, 3};
    Index batch_size = 64;
    std::uint64_t seed = 0;
    ViewOptions views{};  ///< for samples without teacher logits
    /// Mirrors samples without teacher logits in every other epoch, not at random: two epochs show each of them both
    /// ways, where random flips repeat half of them (Jordan, "94% on CIFAR-10 in 3.29 seconds on a single GPU", 2024).
    bool alternating_flip = false;
    ColorJitter color{0.2F, 0.2F, 0.2F};  ///< for samples without teacher logits
    /// Jitters the colors of stored views further; the teacher then saw slightly different ones.
    bool color_on_teacher_views = false;
    Normalization normalization{};
    /// Answers what samples show, in place of stored logits; not copied, must outlive the loader. Null: none.
    const OnlineTeacher* online_teacher = nullptr;
    /// Of several ranks that train together, which one this loader is for: batches have the pixels of its samples
    /// alone.
    Rank rank{};
};

/// Cuts training batches. The pictures and logits it is given are not copied and must outlive it.
///
/// An epoch is a permutation of all samples, divided as EpochBatches says. A sample with teacher logits is shown by one
/// of the views stored with them, drawn anew each epoch, and carries that view's logits; in a mixed view it has no
/// label, as the teacher's answer to the mix says more than a weighted pair of labels. Any other sample gets a random
/// view and color, and an online teacher answers the same view and color at its own input size. Everything follows from
/// (seed, epoch, sample) alone.
class TrainingLoader {
public:
    /// Throws Error where the input does not have three channels, the batch size is below 1, or several ranks have an
    /// online teacher.
    explicit TrainingLoader(const LoaderOptions& options) : options_{options} {
        detail::require_color_input(options_.input);
        detail::require_batch_size(options_.batch_size);
        if (options_.online_teacher == nullptr) return;
        detail::require_color_input(options_.online_teacher->input);
        if (options_.rank.count > 1)
            throw Error{
                "an online teacher answers in one process alone; store its logits, or train without other ranks"};
    }

    /// Adds pictures, with their teacher's logits where `teacher` names them. Throws Error where their stored
    /// size differs from that of earlier ones, or the labels or logits do not fit.
    void add(const LabeledPictures& pictures, const TeacherRows& teacher = {}) {
        detail::require_labels(pictures);
        add(pictures.store, &pictures.labels, teacher);
    }
    void add(const UnlabeledPictures& pictures, const TeacherRows& teacher = {}) {
        add(pictures.store, nullptr, teacher);
    }

    Index sample_count() const { return static_cast<Index>(samples_.size()); }

    Index batch_count() const { return epoch_batches().count(); }

    /// Samples in the largest batch of an epoch; above `batch_size` only for batch size 2.
    Index largest_batch() const { return epoch_batches().largest(); }

    /// The batches of an epoch from batch `first` on, prepared ahead on a worker thread.
    BatchQueue batches(Index epoch, Index first = 0) const {
        const auto order = std::make_shared<const std::vector<Index>>(epoch_order(epoch));
        const auto assemble_batch = [this, epoch, order](Index index, Batch& batch) {
            assemble(epoch, *order, index, batch);
        };
        if (!mapped_) return BatchQueue{batch_count(), assemble_batch, first};
        const auto pictures_of = [this, epoch, order](Index index, auto&& use) {
            const BatchRange range = batch_range(index);
            const IndexRange own = samples_of_rank(range.count(), options_.rank);
            for (Index slot = own.begin; slot < own.end; ++slot) {
                const SamplePlan shown = plan(epoch, (*order)[static_cast<std::size_t>(range.begin + slot)]);
                for (const Index sample : {shown.sample, shown.second.sample})
                    if (sample >= 0 && samples_[static_cast<std::size_t>(sample)].mapped)
                        use(std::span{pixels(sample), static_cast<std::size_t>(3 * stored_size_ * stored_size_)});
            }
        };
        return BatchQueue{batch_count(), detail::with_read_ahead(batch_count(), first, pictures_of, assemble_batch),
                          first};
    }

    /// The order of the samples in an epoch, for `assemble`.
    std::vector<Index> epoch_order(Index epoch) const {
        return bantam::epoch_order(options_.seed, epoch, sample_count());
    }

    /// Where batch `index` lies in an epoch's order.
    BatchRange batch_range(Index index) const { return epoch_batches().range(index); }

    /// How `sample` is shown in `epoch`. Throws Error where that is a mix with a picture that is no sample.
    SamplePlan plan(Index epoch, Index sample) const {
        const Sample& found = samples_[static_cast<std::size_t>(sample)];
        Random random{options_.seed, stream(sample_purpose, epoch, sample)};
        const auto jitter = [&](bool recolor) {
            return recolor && options_.color.enabled() ? random_color(random, options_.color) : ColorTransform{};
        };
        if (found.teacher_row >= 0) {
            const auto choice = static_cast<Index>(random.below(static_cast<std::uint64_t>(teacher_->view_count)));
            const auto sample_of = [&](Index image) { return sample_of_row(image); };
            SamplePlan plan = stored_plan(*teacher_, found.teacher_row * teacher_->view_count + choice,
                                          options_.normalization, sample_of, jitter(options_.color_on_teacher_views));
            plan.label = plan.mixed() ? -1 : found.label;
            return plan;
        }
        SamplePlan plan{
            .sample = sample, .label = found.label, .view = random_view(random, options_.views), .colors = {}};
        if (options_.alternating_flip) plan.view.flipped = flipped_in_turn(epoch, sample);
        plan.colors = network_colors({}, options_.normalization, jitter(true));
        return plan;
    }

    /// A sample's picture in memory, [stored_size][stored_size][3].
    const std::uint8_t* pixels(Index sample) const { return samples_[static_cast<std::size_t>(sample)].pixels; }
    Index stored_size() const { return stored_size_; }
    Shape input() const { return options_.input; }
    /// Null without a teacher.
    const TeacherLogits* teacher() const { return teacher_; }

    /// Fills `batch` with batch `index` of `epoch`, whose order is `epoch_order(epoch)`.
    void assemble(Index epoch, const std::vector<Index>& order, Index index, Batch& batch) const {
        const BatchRange range = batch_range(index);
        const auto plan_of = [&](Index slot) {
            return plan(epoch, order[static_cast<std::size_t>(range.begin + slot)]);
        };
        detail::assemble_batch(*this, range.count(), plan_of, options_.rank, batch);
        if (options_.online_teacher != nullptr) answer(range.count(), plan_of, batch);
    }

private:
    /// The online teacher's logits of a batch.
    template <class PlanOf>
    void answer(Index count, const PlanOf& plan_of, Batch& batch) const {
        const OnlineTeacher& teacher = *options_.online_teacher;
        batch.teacher_logits.resize(static_cast<std::size_t>(count * teacher.classes));
        batch.has_teacher.assign(static_cast<std::size_t>(count), 1);
        if (teacher.input == options_.input)
            return teacher.infer(batch.pixels.data(), count, batch.teacher_logits.data());
        const Index size = element_count(teacher.input);
        std::vector<float> shown(static_cast<std::size_t>(count * size));
        for (Index slot = 0; slot < count; ++slot)
            cut_sample([&](Index sample) { return pixels(sample); }, stored_size_, plan_of(slot), teacher.input,
                       shown.data() + slot * size);
        teacher.infer(shown.data(), count, batch.teacher_logits.data());
    }

    struct Sample {
        const std::uint8_t* pixels;
        int label;
        Index teacher_row;  // −1: none
        bool mapped;
    };

    /// The sample of a row of the logits file.
    Index sample_of_row(Index row) const {
        const Index sample = sample_of_row_[static_cast<std::size_t>(row)];
        if (sample < 0)
            throw Error{
                "the teacher's mixed views show image " + std::to_string(row) + " (" +
                printable(teacher_->paths[static_cast<std::size_t>(row)]) +
                "), which is not among the training pictures; add all of them or use a file without mixed views"};
        return sample;
    }

    EpochBatches epoch_batches() const { return {sample_count(), options_.batch_size}; }

    static constexpr std::uint64_t sample_purpose = 2;  // 1 is that of an epoch's order

    static constexpr std::uint64_t flip_purpose = 3;

    /// At random in the first epoch, then every other time.
    bool flipped_in_turn(Index epoch, Index sample) const {
        const std::uint64_t first = random_bits(options_.seed, flip_purpose, static_cast<std::uint64_t>(sample));
        return ((first + static_cast<std::uint64_t>(epoch)) & 1U) != 0;
    }

    static std::uint64_t stream(std::uint64_t purpose, Index epoch, Index sample) {
        return random_bits(purpose, static_cast<std::uint64_t>(epoch), static_cast<std::uint64_t>(sample));
    }

    void add(const PictureStore& store, const std::vector<int>* labels, const TeacherRows& teacher) {
        if (stored_size_ != 0 && store.size() != 0 && store.stored_size() != stored_size_)
            throw Error{"pictures of different stored sizes cannot be mixed; load them all at " +
                        std::to_string(stored_size_)};
        if (store.size() != 0) stored_size_ = store.stored_size();
        mapped_ = mapped_ || store.is_mapped();
        if (teacher.logits != nullptr) {
            if (options_.online_teacher != nullptr)
                throw Error{"samples have stored logits and an online teacher; use one of the two"};
            if (teacher_ != nullptr && teacher_ != teacher.logits)
                throw Error{"samples have logits of two teachers; use one logits file"};
            teacher.require_rows(static_cast<Index>(store.size()));
            teacher_ = teacher.logits;
            sample_of_row_.resize(teacher_->paths.size(), -1);
            for (std::size_t index = 0; index < store.size(); ++index)
                sample_of_row_[static_cast<std::size_t>(teacher.first_row) + index] =
                    static_cast<Index>(samples_.size() + index);
        }
        for (std::size_t index = 0; index < store.size(); ++index)
            samples_.push_back({store.pixels(index), labels == nullptr ? -1 : (*labels)[index],
                                teacher.logits == nullptr ? -1 : teacher.first_row + static_cast<Index>(index),
                                store.is_mapped()});
    }

    LoaderOptions options_;
    std::vector<Sample> samples_;
    std::vector<Index> sample_of_row_;  // −1: none
    Index stored_size_ = 0;
    bool mapped_ = false;
    const TeacherLogits* teacher_ = nullptr;
};

}  // namespace bantam
