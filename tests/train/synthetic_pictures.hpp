// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/base/random.hpp>
#include <bantam/core/shape.hpp>
#include <bantam/cpu/trainer.hpp>
#include <bantam/layers/batch_norm2d.hpp>
#include <bantam/layers/conv2d.hpp>
#include <bantam/layers/depthwise_separable.hpp>
#include <bantam/layers/dropout.hpp>
#include <bantam/layers/linear.hpp>
#include <bantam/layers/pooling.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace bantam_test {

using bantam::Index;

/// Small, and with all that a resumed run must restore: statistics and dropout.
using TinyNet = bantam::Network<bantam::Image<6, 8, 3>, bantam::Conv2d<5, 3, 1, bantam::ConvOptions{.bias = false}>,
                                bantam::BatchNorm2d, bantam::ReLU6, bantam::DepthwiseSeparable<9, 2>,
                                bantam::GlobalAveragePool, bantam::Dropout<10>, bantam::Linear<3>>;
using TinyTrainer = bantam::Trainer<TinyNet>;

/// The members that a trainer needs, and no others.
struct SyntheticBatch {
    Index count = 0;
    std::vector<float> pixels;
    std::vector<int> labels;
    std::vector<float> teacher_logits;
    std::vector<std::uint8_t> has_teacher;
    std::vector<std::uint8_t> mixed;
};

/// Noise in a color that depends on the class. Every third sample has a label alone, every third a teacher
/// alone, the others both. An epoch is a permutation that depends on the epoch's number alone.
class SyntheticPictures {
public:
    SyntheticPictures(Index samples, Index batch_size, bool all_labeled = false)
        : samples_{samples}, batch_size_{batch_size}, all_labeled_{all_labeled} {}

    Index sample_count() const { return samples_; }
    Index batch_count() const { return (samples_ + batch_size_ - 1) / batch_size_; }

    class Batches {
    public:
        Batches(const SyntheticPictures& pictures, std::vector<Index> order)
            : pictures_{pictures}, order_{std::move(order)} {}
        const SyntheticBatch* next() {
            if (index_ == pictures_.batch_count()) return nullptr;
            batch_ = pictures_.batch(order_, index_++);
            return &batch_;
        }

    private:
        const SyntheticPictures& pictures_;
        std::vector<Index> order_;
        Index index_ = 0;
        SyntheticBatch batch_;
    };

    Batches batches(Index epoch) const {
        std::vector<Index> order = name_order();
        bantam::Random random{5, static_cast<std::uint64_t>(epoch)};
        for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random.below(i)]);
        return {*this, std::move(order)};
    }
    Batches batches() const { return {*this, name_order()}; }

    SyntheticBatch first_batch() const { return batch(name_order(), 0); }

private:
    std::vector<Index> name_order() const {
        std::vector<Index> order(static_cast<std::size_t>(samples_));
        for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<Index>(i);
        return order;
    }

    SyntheticBatch batch(const std::vector<Index>& order, Index index) const {
        constexpr bantam::Shape shape = bantam::input_shape<TinyNet>;
        SyntheticBatch batch;
        for (Index slot = index * batch_size_; slot < std::min(samples_, (index + 1) * batch_size_); ++slot) {
            const Index sample = order[static_cast<std::size_t>(slot)];
            const Index label = sample % 3;
            const Index kind = all_labeled_ ? 2 : sample / 3 % 3;
            bantam::Random random{9, static_cast<std::uint64_t>(sample)};
            for (Index i = 0; i < bantam::element_count(shape); ++i)
                batch.pixels.push_back(static_cast<float>(random.uniform(-1, 1) + (i % 3 == label ? 0.7 : 0.0)));
            batch.labels.push_back(kind == 1 ? -1 : static_cast<int>(label));
            batch.has_teacher.push_back(kind == 0 ? 0 : 1);
            batch.mixed.push_back(sample % 5 == 0);
            for (Index i = 0; i < 3; ++i)
                batch.teacher_logits.push_back(kind == 0 ? 0.0F
                                                         : static_cast<float>(random.uniform() + (i == label ? 4 : 0)));
            ++batch.count;
        }
        return batch;
    }

    Index samples_;
    Index batch_size_;
    bool all_labeled_;
};

inline bantam::TrainingOptions tiny_options() {
    bantam::TrainingOptions options;
    options.epochs = 5;
    options.batch_size = 8;
    options.warmup_epochs = 1;
    options.averaging_decay = 0.9;
    options.seed = 3;
    return options;
}

/// Options under which a trainer keeps different states.
inline std::vector<bantam::TrainingOptions> every_kind() {
    bantam::TrainingOptions plain = tiny_options(), not_averaged = plain, adam = plain, without_momentum = plain,
                            weighted = plain, muon = plain, lookahead = plain;
    not_averaged.averaging_decay = 0;
    adam.optimizer = bantam::OptimizerKind::adamw;
    adam.learning_rate = 0.01;
    without_momentum.momentum = 0;
    without_momentum.clip_norm = 0;
    weighted.labeled_weight = 2;
    weighted.unlabeled_weight = 0.5;
    weighted.mixed_weight = 1.5;
    muon.optimizer = bantam::OptimizerKind::muon;
    muon.learning_rate = 0.01;
    lookahead.lookahead_steps = 4;
    return {plain, not_averaged, adam, without_momentum, weighted, muon, lookahead};
}

/// Trains epochs [first_epoch, epochs) and returns the sums of the last one.
template <class Trainer>
bantam::LossSums train(Trainer& trainer, const SyntheticPictures& pictures, Index first_epoch, Index epochs) {
    bantam::LossSums last;
    for (Index epoch = first_epoch; epoch < epochs; ++epoch) {
        last = {};
        auto batches = pictures.batches(epoch);
        while (const auto* batch = batches.next()) last += trainer.step(*batch, pictures.batch_count());
    }
    return last;
}

inline std::vector<float> copied(std::span<const float> values) { return {values.begin(), values.end()}; }

/// Every bit that the next step depends on.
template <class Trainer>
std::vector<std::vector<float>> bits_of(Trainer& trainer) {
    std::vector<std::vector<float>> all;
    for (const auto& state : trainer.state()) all.emplace_back(state.values.begin(), state.values.end());
    return all;
}

/// Copies one trainer's state to another's, as saving and loading would.
template <class Trainer>
void carry_over(Trainer& from, Trainer& to) {
    const auto source = from.state();
    const auto target = to.state();
    for (std::size_t i = 0; i < source.size(); ++i)
        std::copy(source[i].values.begin(), source[i].values.end(), target[i].values.begin());
    to.restored(from.steps());
}

}  // namespace bantam_test
