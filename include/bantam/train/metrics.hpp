// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/train/losses.hpp>

#include <optional>

namespace bantam {

/// The figures of an epoch. A figure is absent where no sample has it: teacher agreement without a teacher,
/// accuracy without labels.
struct Metrics {
    Index count = 0;
    std::optional<double> loss;               ///< mean over all samples, by their weights
    std::optional<double> accuracy;           ///< 0..1, over labeled samples
    std::optional<double> cross_entropy;      ///< mean over labeled samples, in nats
    std::optional<double> teacher_agreement;  ///< 0..1, over samples with a teacher
    std::optional<double> distillation;       ///< mean of the distillation loss in use over samples with a teacher
    std::optional<double> kl_divergence;      ///< mean KL(teacher ‖ student) at temperature 1 over them, in nats
};

/// Turns sums into means. Each sum is divided by the number of its samples.
inline Metrics summarize(const LossSums& sums) {
    const auto mean = [](double total, Index count) {
        return count > 0 ? std::optional<double>(total / static_cast<double>(count)) : std::nullopt;
    };
    return {
        .count = sums.count,
        .loss = sums.weight > 0 ? std::optional<double>(sums.loss / sums.weight) : std::nullopt,
        .accuracy = mean(static_cast<double>(sums.correct), sums.labeled),
        .cross_entropy = mean(sums.cross_entropy, sums.labeled),
        .teacher_agreement = mean(static_cast<double>(sums.agree), sums.with_teacher),
        .distillation = mean(sums.distillation, sums.with_teacher),
        .kl_divergence = mean(sums.kl_divergence, sums.with_teacher),
    };
}

}  // namespace bantam
