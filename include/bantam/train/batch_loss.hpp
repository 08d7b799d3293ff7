// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/chunk.hpp>
#include <bantam/base/error.hpp>
#include <bantam/base/index.hpp>
#include <bantam/base/number_text.hpp>
#include <bantam/base/picture_count.hpp>
#include <bantam/core/shape.hpp>
#include <bantam/core/shape_text.hpp>
#include <bantam/train/losses.hpp>
#include <bantam/train/options.hpp>

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace bantam {

namespace detail {

/// A trainer's loss as `loss_and_gradient` takes it.
template <class L>
auto loss_of(const TrainingOptions& options, const L& loss) {
    if constexpr (std::same_as<L, CrossEntropy>)
        return options.loss();
    else
        return loss;
}
template <class L>
using LossOf = decltype(loss_of(TrainingOptions{}, std::declval<const L&>()));

template <class Batch>
Targets<float> targets_of(const Batch& batch) {
    using Labels = std::span<const std::int32_t>;
    static_assert(std::convertible_to<decltype((batch.labels)), Labels>,
                  "the labels of a batch are a std::vector<std::int32_t>; ArrayData takes labels of any integer type");
    Targets<float> targets{};
    if constexpr (std::convertible_to<decltype((batch.labels)), Labels>) targets.labels = batch.labels;
    if (!batch.teacher_logits.empty()) {
        targets.teacher_logits = {batch.teacher_logits.data(), batch.teacher_logits.size()};
        targets.has_teacher = {batch.has_teacher.data(), batch.has_teacher.size()};
    }
    if constexpr (requires { batch.mixed; }) targets.mixed = {batch.mixed.data(), batch.mixed.size()};
    if constexpr (requires { batch.targets; }) targets.values = {batch.targets.data(), batch.targets.size()};
    return targets;
}

/// Throws Error unless a batch has samples and its parts fit each other, a network of that input and `classes`
/// outputs, and the loss `L`. Of several ranks, each may have the pixels of its own samples alone.
template <class L, class Batch>
void require_batch(const Batch& batch, Shape input, Index classes, Rank rank = {}) {
    if (batch.count < 1) throw Error("the batch has " + std::to_string(batch.count) + " samples; give at least one");
    const Index found = picture_count(batch.pixels.size(), input.height, input.width, input.channels);
    if (found != batch.count && found != samples_of_rank(batch.count, rank).count())
        throw Error("the batch has the pixels of " + std::to_string(found) + " pictures of " +
                    std::string{shape_text(input).view()} + ", its count is " + std::to_string(batch.count));
    require_targets<L>(classes, static_cast<std::size_t>(batch.count), targets_of(batch));
}

/// The pixels of the samples that a rank computes, of a batch that has these alone or all.
template <class Batch>
std::span<const float> pixels_of_rank(const Batch& batch, Shape input, Rank rank) {
    const IndexRange own = samples_of_rank(batch.count, rank);
    const auto size = static_cast<std::size_t>(own.count() * element_count(input));
    const std::span<const float> pixels{batch.pixels.data(), batch.pixels.size()};
    return pixels.size() == size ? pixels
                                 : pixels.subspan(static_cast<std::size_t>(own.begin * element_count(input)), size);
}

/// Throws the Error of a step after which a running mean or variance is not finite. A normalization hides pixels that
/// are too large from the loss, but not from the running variance.
[[noreturn]] inline void refuse_statistics(std::span<const float> pixels) {
    const auto [least, most] = std::ranges::minmax(pixels);
    throw Error("a running mean or variance is not finite after this batch, whose pixels are in " +
                general_text(static_cast<double>(least)) + ".." + general_text(static_cast<double>(most)) +
                "; scale them to about -2..2, or lower the learning rate where they are");
}

/// Throws Error naming the first pixel of a rank's samples that is not finite: the cause of a loss that is not.
template <class Batch>
void require_finite_pixels(const Batch& batch, Shape input, Rank rank) {
    const std::span<const float> pixels = pixels_of_rank(batch, input, rank);
    const auto found = std::ranges::find_if_not(pixels, [](float pixel) { return std::isfinite(pixel); });
    if (found == pixels.end()) return;
    const Index index = found - pixels.begin(), of_picture = element_count(input);
    throw Error("pixel value " + std::to_string(index % of_picture) + " of sample " +
                std::to_string(samples_of_rank(batch.count, rank).begin + index / of_picture) + " of the batch is " +
                non_finite_text(static_cast<double>(*found)) + "; check the pictures");
}

/// The loss of an evaluation.
inline const LossOptions& evaluated(const LossOptions&) { return evaluation_loss_options; }
template <class L>
const L& evaluated(const L& loss) {
    return loss;
}

/// The losses of a network that gives the logits [count][heads][classes], and their gradient. The sum of the heads'
/// losses is minimized; the figures are those of the first head.
template <class L>
LossSums losses_and_gradient(const L& loss, Index heads, Index classes, std::span<const float> logits,
                             const Targets<float>& targets, std::span<float> gradient) {
    if (heads == 1) return loss_and_gradient<float>(loss, classes, logits, targets, gradient);
    const auto width = static_cast<std::size_t>(classes), stride = width * static_cast<std::size_t>(heads);
    std::vector<float> of_head(logits.size() / static_cast<std::size_t>(heads)), gradient_of_head(of_head.size());
    LossSums first;
    for (std::size_t head = 0; head * width < stride; ++head) {
        for (std::size_t row = 0; row * width < of_head.size(); ++row)
            std::copy_n(logits.data() + row * stride + head * width, width, of_head.data() + row * width);
        const LossSums sums = loss_and_gradient<float>(loss, classes, of_head, targets, gradient_of_head);
        for (std::size_t row = 0; row * width < of_head.size(); ++row)
            std::copy_n(gradient_of_head.data() + row * width, width, gradient.data() + row * stride + head * width);
        if (head == 0) first = sums;
    }
    return first;
}

/// The loss of a batch in an evaluation. Throws Error where it is not finite.
template <class L, class Batch>
LossSums evaluation_loss(const L& loss, Index classes, std::span<const float> logits, const Batch& batch, Shape input,
                         Rank rank) {
    try {
        return loss_and_gradient<float>(evaluated(loss), classes, logits, targets_of(batch), std::span<float>{});
    } catch (const Error&) {
        require_finite_pixels(batch, input, rank);
        throw;
    }
}

}  // namespace detail

}  // namespace bantam
