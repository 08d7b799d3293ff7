// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/train/losses.hpp>

#include <cstdint>
#include <optional>

namespace bantam {

/// What an epoch reports. A figure is absent where no sample could give it: teacher agreement without
/// a teacher, accuracy without a label.
struct Metrics {
    std::int64_t count = 0;
    std::optional<double> loss;               ///< mean over all samples
    std::optional<double> accuracy;           ///< 0..1, over labelled samples
    std::optional<double> cross_entropy;      ///< mean over labelled samples, in nats
    std::optional<double> teacher_agreement;  ///< 0..1, over samples with a teacher
    std::optional<double> distillation;       ///< mean T² · KL over samples with a teacher, in nats
};

/// Turns sums into means. Each figure is divided by the samples it was measured on.
inline Metrics summarise(const LossSums& sums) {
    const auto mean = [](double total, std::int64_t count) {
        return count > 0 ? std::optional<double>(total / static_cast<double>(count)) : std::nullopt;
    };
    return {
        .count = sums.count,
        .loss = mean(sums.loss, sums.count),
        .accuracy = mean(static_cast<double>(sums.correct), sums.labelled),
        .cross_entropy = mean(sums.cross_entropy, sums.labelled),
        .teacher_agreement = mean(static_cast<double>(sums.agree), sums.with_teacher),
        .distillation = mean(sums.distillation, sums.with_teacher),
    };
}

}  // namespace bantam
