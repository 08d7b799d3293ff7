// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/train/losses.hpp>

#include <span>

namespace bantam {

namespace detail {

template <class Batch>
Targets<float> targets_of(const Batch& batch) {
    if (batch.teacher_logits.empty()) return {.labels = batch.labels, .teacher_logits = {}, .has_teacher = {}};
    return {.labels = batch.labels, .teacher_logits = batch.teacher_logits, .has_teacher = batch.has_teacher};
}

/// An evaluation's options: labels are not smoothed.
inline LossOptions unsmoothed(LossOptions options) {
    options.label_smoothing = 0;
    return options;
}

/// The loss of a batch in an evaluation.
template <class Batch>
LossSums evaluation_loss(const LossOptions& options, Index classes, std::span<const float> logits, const Batch& batch) {
    return loss_and_gradient<float>(unsmoothed(options), classes, logits, targets_of(batch), std::span<float>{});
}

}  // namespace detail

}  // namespace bantam
