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

/// What an evaluation goes by: labels as they are.
inline LossOptions plain(LossOptions options) {
    options.label_smoothing = 0;
    return options;
}

/// The sums of an evaluation.
template <class Batch>
LossSums plain_loss(const LossOptions& options, Index classes, std::span<const float> logits, const Batch& batch) {
    return loss_and_gradient<float>(plain(options), classes, logits, targets_of(batch), std::span<float>{});
}

}  // namespace detail

}  // namespace bantam
