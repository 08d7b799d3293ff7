// SPDX-License-Identifier: MIT
// Needs what data/picture_store.hpp and data/teacher_logits.hpp need.
#pragma once

#include <bantam/base/error.hpp>
#include <bantam/base/index.hpp>
#include <bantam/base/random.hpp>
#include <bantam/core/shape.hpp>
#include <bantam/data/color.hpp>
#include <bantam/data/picture_store.hpp>
#include <bantam/data/teacher_logits.hpp>
#include <bantam/data/view.hpp>

#include <algorithm>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace bantam {

/// Samples ready for a network.
struct Batch {
    Index count = 0;
    std::vector<float> pixels;              ///< [count][height][width][3], normalized
    std::vector<int> labels;                ///< [count], -1 where there is none
    std::vector<float> teacher_logits;      ///< [count][class], 0 where there are none
    std::vector<std::uint8_t> has_teacher;  ///< [count], 0 or 1
};

/// What a sample is made of, apart from its pixels.
struct LoaderOptions {
    Shape input{128, 128, 3};
    Index batch_size = 64;
    std::uint64_t seed = 0;
    ViewOptions views{};                  ///< for samples without teacher logits
    ColorJitter color{0.2F, 0.2F, 0.2F};  ///< likewise
    /// Also for samples with teacher logits; the teacher then saw slightly other colors.
    bool color_on_teacher_views = false;
    Normalization normalization{};
};

/// Where a group of pictures finds its teacher's answers: rows `first_row`, `first_row + 1`, … .
/// Without `logits` there are none.
struct TeacherRows {
    const TeacherLogits* logits = nullptr;
    Index first_row = 0;
};

/// The pictures at hand in the order of a logits file, to be given to check_teacher_logits.
/// The pictures must have been loaded with `hash_files`.
inline ExpectedPictures expected_pictures(const LabeledPictures& training, const UnlabeledPictures& unlabeled,
                                          const LabeledPictures& validation, std::vector<std::string> classes) {
    ExpectedPictures expected;
    expected.classes = std::move(classes);
    expected.stored_size = training.store.stored_size();
    for (const PictureStore* store : {&training.store, &unlabeled.store, &validation.store}) {
        if (store->hashes().size() != store->size())
            throw Error{"pictures were loaded without hashes; set PictureOptions::hash_files"};
        expected.paths.insert(expected.paths.end(), store->paths().begin(), store->paths().end());
        expected.hashes.insert(expected.hashes.end(), store->hashes().begin(), store->hashes().end());
    }
    return expected;
}

/// What becomes of a sample in an epoch, before its pixels are cut.
struct SamplePlan {
    Index sample = 0;  ///< among the loader's
    int label = -1;    ///< −1: none
    /// Of the teacher's logits, [image · view]; −1: none.
    Index teacher_view = -1;
    View view;
    ColorTransform colors;
};

/// Samples [begin, end) of an epoch's order.
struct BatchRange {
    Index begin = 0;
    Index end = 0;
    Index count() const { return end - begin; }
};

namespace detail {

struct Sample {
    const std::uint8_t* pixels;
    int label;
    Index teacher_row;  // -1: none
};

inline void prepare_batch(Batch& batch, Index count, Shape input, Index classes) {
    const auto samples = static_cast<std::size_t>(count);
    batch.count = count;
    batch.pixels.resize(samples * static_cast<std::size_t>(element_count(input)));
    batch.labels.assign(samples, -1);
    batch.teacher_logits.assign(samples * static_cast<std::size_t>(classes), 0.0F);
    batch.has_teacher.assign(samples, 0);
}

inline void set_teacher(Batch& batch, Index slot, const float* logits, Index classes) {
    batch.has_teacher[static_cast<std::size_t>(slot)] = 1;
    std::copy_n(logits, classes, batch.teacher_logits.begin() + slot * classes);
}

/// Puts a loader's sample into place `slot` of a batch.
template <class Loader>
void cut_sample(const Loader& loader, const SamplePlan& plan, Index slot, Batch& batch) {
    batch.labels[static_cast<std::size_t>(slot)] = plan.label;
    if (plan.teacher_view >= 0)
        set_teacher(batch, slot, loader.teacher()->view_logits(0, plan.teacher_view), loader.teacher()->class_count());
    cut_view(loader.pixels(plan.sample), loader.stored_size(), plan.view, loader.input(),
             batch.pixels.data() + slot * element_count(loader.input()), plan.colors);
}

inline void require_color_input(Shape input) {
    if (input.channels != 3 || input.height < 1 || input.width < 1)
        throw Error{"pictures have 3 channels, the network's image has " + std::to_string(input.height) + "×" +
                    std::to_string(input.width) + "×" + std::to_string(input.channels) +
                    "; use Image<height, width, 3>"};
}

}  // namespace detail

class BatchQueue;

/// Cuts training batches. It looks at the pictures and logits it is given, which must outlive it.
///
/// An epoch is a permutation of all samples. Its k batches cover [i·n/k, (i+1)·n/k) and so differ
/// by one sample at most; none has a single sample unless that was asked for. A sample with teacher
/// logits is cut by one of the views stored with them, drawn afresh each epoch, and carries that
/// view's logits; any other sample gets a free random view and color. All of it follows from
/// (seed, epoch, sample) alone.
class TrainingLoader {
public:
    explicit TrainingLoader(const LoaderOptions& options) : options_{options} {
        detail::require_color_input(options_.input);
        if (options_.batch_size < 1) throw Error{"batch size must be at least 1"};
        plain_ = compose(byte_colors(), normalize(options_.normalization));
    }

    void add(const LabeledPictures& pictures, const TeacherRows& teacher = {}) {
        add(pictures.store, &pictures.labels, teacher);
    }
    void add(const UnlabeledPictures& pictures, const TeacherRows& teacher = {}) {
        add(pictures.store, nullptr, teacher);
    }

    Index sample_count() const { return static_cast<Index>(samples_.size()); }

    Index batch_count() const {
        const Index samples = sample_count();
        const Index batches = (samples + options_.batch_size - 1) / options_.batch_size;
        return options_.batch_size == 1 ? batches
                                        : std::max<Index>(std::min(batches, samples / 2), samples > 0 ? 1 : 0);
    }

    /// Samples in the largest batch of an epoch; above `batch_size` only for batch size 2.
    Index largest_batch() const {
        const Index batches = batch_count();
        return batches == 0 ? 0 : (sample_count() + batches - 1) / batches;
    }

    /// The batches of an epoch, prepared ahead on a thread of their own.
    BatchQueue batches(Index epoch) const;

    /// The order of the samples in an epoch, for `assemble`.
    std::vector<Index> epoch_order(Index epoch) const {
        std::vector<Index> order(samples_.size());
        for (std::size_t index = 0; index < order.size(); ++index) order[index] = static_cast<Index>(index);
        Random random{options_.seed, stream(order_purpose, epoch, 0)};
        for (std::size_t index = order.size(); index > 1; --index)
            std::swap(order[index - 1], order[random.below(index)]);
        return order;
    }

    /// Where batch `index` lies in an epoch's order.
    BatchRange batch_range(Index index) const {
        const Index batches = batch_count();
        return {index * sample_count() / batches, (index + 1) * sample_count() / batches};
    }

    /// What becomes of `sample` in `epoch`.
    SamplePlan plan(Index epoch, Index sample) const {
        const detail::Sample& own = samples_[static_cast<std::size_t>(sample)];
        Random random{options_.seed, stream(sample_purpose, epoch, sample)};
        SamplePlan plan{.sample = sample, .label = own.label, .view = {}, .colors = plain_};
        bool recolor = options_.color.enabled();
        if (own.teacher_row >= 0) {
            const auto choice = static_cast<Index>(random.below(static_cast<std::uint64_t>(teacher_->view_count)));
            plan.view = teacher_->view(own.teacher_row, choice);
            plan.teacher_view = own.teacher_row * teacher_->view_count + choice;
            recolor = recolor && options_.color_on_teacher_views;
        } else {
            plan.view = random_view(random, options_.views);
        }
        if (recolor)
            plan.colors = compose(compose(byte_colors(), random_color(random, options_.color)),
                                  normalize(options_.normalization));
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
        const Index classes = teacher_ == nullptr ? 0 : teacher_->class_count();
        detail::prepare_batch(batch, range.count(), options_.input, classes);
        for (Index slot = 0; slot < range.count(); ++slot)
            detail::cut_sample(*this, plan(epoch, order[static_cast<std::size_t>(range.begin + slot)]), slot, batch);
    }

private:
    static constexpr std::uint64_t order_purpose = 1;
    static constexpr std::uint64_t sample_purpose = 2;

    static std::uint64_t stream(std::uint64_t purpose, Index epoch, Index sample) {
        return random_bits(purpose, static_cast<std::uint64_t>(epoch), static_cast<std::uint64_t>(sample));
    }

    void add(const PictureStore& store, const std::vector<int>* labels, const TeacherRows& teacher) {
        if (stored_size_ != 0 && store.size() != 0 && store.stored_size() != stored_size_)
            throw Error{"pictures of different stored sizes cannot be mixed; load them all at " +
                        std::to_string(stored_size_)};
        if (store.size() != 0) stored_size_ = store.stored_size();
        if (teacher.logits != nullptr) {
            if (teacher_ != nullptr && teacher_ != teacher.logits)
                throw Error{"samples have logits of two teachers; use one logits file"};
            const auto rows = static_cast<Index>(store.size());
            if (teacher.first_row < 0 || teacher.first_row + rows > teacher.logits->image_count())
                throw Error{"the teacher logits have " + std::to_string(teacher.logits->image_count()) +
                            " images, fewer than the pictures need; check them against the data"};
            teacher_ = teacher.logits;
        }
        for (std::size_t index = 0; index < store.size(); ++index)
            samples_.push_back({store.pixels(index), labels == nullptr ? -1 : (*labels)[index],
                                teacher.logits == nullptr ? -1 : teacher.first_row + static_cast<Index>(index)});
    }

    LoaderOptions options_;
    ColorTransform plain_;
    std::vector<detail::Sample> samples_;
    Index stored_size_ = 0;
    const TeacherLogits* teacher_ = nullptr;
};

/// Cuts whole pictures in their order, for validation and prediction. It looks at the pictures
/// and logits it is given, which must outlive it.
class EvaluationLoader {
public:
    /// With labels and, where given, the teacher's answer to each whole picture.
    EvaluationLoader(const LabeledPictures& pictures, Shape input, Index batch_size,
                     const Normalization& normalization = {}, const TeacherRows& teacher = {})
        : EvaluationLoader{pictures.store, &pictures.labels, input, batch_size, normalization} {
        if (teacher.logits != nullptr &&
            (teacher.first_row < 0 || teacher.first_row + sample_count() > teacher.logits->image_count()))
            throw Error{
                "the teacher logits have fewer images than the pictures need; check them "
                "against the data"};
        teacher_ = teacher;
    }

    EvaluationLoader(const UnlabeledPictures& pictures, Shape input, Index batch_size,
                     const Normalization& normalization = {})
        : EvaluationLoader{pictures.store, nullptr, input, batch_size, normalization} {}

    EvaluationLoader(const TestPictures& pictures, Shape input, Index batch_size,
                     const Normalization& normalization = {})
        : EvaluationLoader{pictures.store, nullptr, input, batch_size, normalization} {}

    Index sample_count() const { return static_cast<Index>(store_->size()); }
    Index batch_count() const { return (sample_count() + batch_size_ - 1) / batch_size_; }

    /// All batches in order, prepared ahead on a thread of their own.
    BatchQueue batches() const;

    /// Where batch `index` lies among the pictures; the last batch may be smaller.
    BatchRange batch_range(Index index) const {
        return {index * batch_size_, std::min((index + 1) * batch_size_, sample_count())};
    }

    /// How picture `sample` is shown: whole.
    SamplePlan plan(Index sample) const {
        return {.sample = sample,
                .label = labels_ == nullptr ? -1 : (*labels_)[static_cast<std::size_t>(sample)],
                .teacher_view =
                    teacher_.logits == nullptr ? -1 : (teacher_.first_row + sample) * teacher_.logits->view_count,
                .view = whole_view(),
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
        const Index classes = teacher_.logits == nullptr ? 0 : teacher_.logits->class_count();
        detail::prepare_batch(batch, range.count(), input_, classes);
        for (Index slot = 0; slot < range.count(); ++slot)
            detail::cut_sample(*this, plan(range.begin + slot), slot, batch);
    }

private:
    EvaluationLoader(const PictureStore& store, const std::vector<int>* labels, Shape input, Index batch_size,
                     const Normalization& normalization)
        : store_{&store},
          labels_{labels},
          input_{input},
          batch_size_{batch_size},
          colors_{compose(byte_colors(), normalize(normalization))} {
        detail::require_color_input(input_);
        if (batch_size_ < 1) throw Error{"batch size must be at least 1"};
    }

    const PictureStore* store_;
    const std::vector<int>* labels_;
    Shape input_;
    Index batch_size_;
    ColorTransform colors_;
    TeacherRows teacher_;
};

/// Prepares the next batch on a thread of its own while the current one is used.
///
///   const auto order = loader.epoch_order(epoch);
///   BatchQueue batches{loader.batch_count(), [&](Index index, Batch& batch) {
///       loader.assemble(epoch, order, index, batch); }};
///   while (const Batch* batch = batches.next()) train_on(*batch);
///
/// An exception thrown while preparing a batch comes out of the `next()` that would have given it.
class BatchQueue {
public:
    using Assemble = std::function<void(Index, Batch&)>;

    /// Prepares batches `first` … `count − 1`.
    BatchQueue(Index count, Assemble assemble, Index first = 0)
        : count_{count}, requested_{first}, ready_{first}, assemble_{std::move(assemble)}, worker_{[this] {
              work();
          }} {}

    BatchQueue(const BatchQueue&) = delete;
    BatchQueue& operator=(const BatchQueue&) = delete;

    ~BatchQueue() {
        {
            const std::lock_guard lock{mutex_};
            stopping_ = true;
        }
        changed_.notify_all();
        worker_.join();
    }

    /// The next batch, valid until the following call; nullptr after the last one.
    const Batch* next() {
        std::unique_lock lock{mutex_};
        if (requested_ >= count_) return nullptr;
        // Asking for a batch hands the one before it back to the worker.
        const Index index = requested_++;
        changed_.notify_all();
        changed_.wait(lock, [&] { return ready_ > index || failure_; });
        if (ready_ <= index) std::rethrow_exception(failure_);
        return &slots_[static_cast<std::size_t>(index % 2)];
    }

private:
    void work() {
        std::unique_lock lock{mutex_};
        while (ready_ < count_) {
            // Slot ready_ % 2 is free once batch ready_ − 1 has been asked for.
            changed_.wait(lock, [&] { return stopping_ || ready_ <= requested_; });
            if (stopping_) return;
            const Index index = ready_;
            lock.unlock();
            try {
                assemble_(index, slots_[static_cast<std::size_t>(index % 2)]);
            } catch (...) {
                lock.lock();
                failure_ = std::current_exception();
                changed_.notify_all();
                return;
            }
            lock.lock();
            ++ready_;
            changed_.notify_all();
        }
    }

    Index count_;
    Index requested_;
    Index ready_;
    bool stopping_ = false;
    std::exception_ptr failure_;
    Batch slots_[2];
    Assemble assemble_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::thread worker_;
};

inline BatchQueue TrainingLoader::batches(Index epoch) const {
    return BatchQueue{batch_count(), [this, epoch, order = epoch_order(epoch)](Index index, Batch& batch) {
                          assemble(epoch, order, index, batch);
                      }};
}

inline BatchQueue EvaluationLoader::batches() const {
    return BatchQueue{batch_count(), [this](Index index, Batch& batch) { assemble(index, batch); }};
}

}  // namespace bantam
