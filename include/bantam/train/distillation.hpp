// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/error.hpp>
#include <bantam/base/host_device.hpp>
#include <bantam/base/index.hpp>
#include <bantam/train/softmax.hpp>

#include <cmath>
#include <string>
#include <string_view>

namespace bantam {

/// How a student's logits are compared with its teacher's. With p = softmax(teacher/T) and q = softmax(student/T), in
/// nats, summed over the classes of one sample:
///
///   kl             T² · KL(p ‖ q)  (Hinton, Vinyals & Dean, "Distilling the knowledge in a neural network", 2015)
///   reverse_kl     T² · KL(q ‖ p): the student keeps to classes that the teacher finds likely
///   symmetric_kl   T² · ½ (KL(p ‖ q) + KL(q ‖ p))
///   dkd            T² · (α · KL(b(p) ‖ b(q)) + β · KL(p̂ ‖ q̂)), where b(p) = (p_t, 1 − p_t) for the target class t and
///                  p̂ are the probabilities among the other classes (Zhao et al., "Decoupled knowledge distillation",
///                  2022). The target is the label; without a label it is the teacher's most likely class.
///   mse            Σ (student − teacher)² / classes of the logits, in squared units of a logit and without T (Kim et
///                  al., "Comparing Kullback-Leibler divergence and mean squared error loss in knowledge
///                  distillation", 2021)
///
/// T² keeps the gradient's size independent of T.
enum class Distillation { kl, reverse_kl, symmetric_kl, dkd, mse };

constexpr const char* name(Distillation distillation) {
    switch (distillation) {
        case Distillation::reverse_kl:
            return "reverse-kl";
        case Distillation::symmetric_kl:
            return "symmetric-kl";
        case Distillation::dkd:
            return "dkd";
        case Distillation::mse:
            return "mse";
        default:
            return "kl";
    }
}

/// "kl", "reverse-kl", "symmetric-kl", "dkd" or "mse"; throws Error on anything else.
inline Distillation distillation_of_name(std::string_view text) {
    for (const Distillation distillation :
         {Distillation::kl, Distillation::reverse_kl, Distillation::symmetric_kl, Distillation::dkd, Distillation::mse})
        if (text == name(distillation)) return distillation;
    throw Error{"distillation is \"" + std::string{text} + "\"; it must be kl, reverse-kl, symmetric-kl, dkd or mse"};
}

struct DistillationOptions {
    Distillation kind = Distillation::kl;
    double temperature = 4.0;  ///< T > 0; softens teacher and student alike
    /// Replaces both sides' logits by their z-scores (see `standardize`) first: the student learns the order and
    /// proportions of the teacher's logits, not their range (Sun et al., "Logit standardization in knowledge
    /// distillation", 2024). T is then their base temperature, where 2 is usual.
    bool standardized = false;
    double dkd_alpha = 1.0;  ///< α of dkd
    double dkd_beta = 8.0;   ///< β of dkd
};

/// z = (logit − mean) / √(variance + 1e-5) over the classes of one sample, the variance being the mean of squares, as
/// PyTorch's `layer_norm` has it; all [classes]. Returns 1 / √(variance + 1e-5).
template <class Scalar>
BANTAM_HOST_DEVICE double standardize(Index classes, const Scalar* logits, double* z) {
    const auto count = static_cast<double>(classes);
    double mean = 0.0, variance = 0.0;
    for (Index index = 0; index < classes; ++index) mean += static_cast<double>(logits[index]);
    mean /= count;
    for (Index index = 0; index < classes; ++index) {
        z[index] = static_cast<double>(logits[index]) - mean;
        variance += z[index] * z[index];
    }
    const double scale = 1.0 / std::sqrt(variance / count + 1e-5);
    for (Index index = 0; index < classes; ++index) z[index] *= scale;
    return scale;
}

/// A sample's distillation loss. Its derivative by logit i is slope_scale · slope[i].
struct DistillationLoss {
    double value = 0.0;
    double slope_scale = 0.0;
};

namespace detail {

/// slope += weight · ∂KL(p ‖ q)/∂(student/T) where q is the student's; log probabilities.
BANTAM_HOST_DEVICE inline void add_kl_slope(double weight, Index classes, const double* teacher, const double* student,
                                            double* slope) {
    for (Index index = 0; index < classes; ++index)
        slope[index] += weight * (std::exp(student[index]) - std::exp(teacher[index]));
}

/// The same of KL(q ‖ p), whose value is `divergence`.
BANTAM_HOST_DEVICE inline void add_reverse_kl_slope(double weight, double divergence, Index classes,
                                                    const double* teacher, const double* student, double* slope) {
    for (Index index = 0; index < classes; ++index) {
        const double probability = std::exp(student[index]);
        if (probability > 0.0) slope[index] += weight * probability * (student[index] - teacher[index] - divergence);
    }
}

/// log Σ probability over the classes other than `target`, of which there is at least one.
BANTAM_HOST_DEVICE inline double log_of_others(Index classes, const double* log_probabilities, Index target) {
    double largest = log_probabilities[target == 0 ? 1 : 0], total = 0.0;
    for (Index index = 0; index < classes; ++index)
        if (index != target && log_probabilities[index] > largest) largest = log_probabilities[index];
    for (Index index = 0; index < classes; ++index)
        if (index != target) total += std::exp(log_probabilities[index] - largest);
    return largest + std::log(total);
}

/// α · KL(b(p) ‖ b(q)) + β · KL(p̂ ‖ q̂), and its slope unless that is null; log probabilities. The target's and the
/// others' divergences do not exist for a single class.
BANTAM_HOST_DEVICE inline double decoupled_kl(const DistillationOptions& options, Index classes, const double* teacher,
                                              const double* student, Index target, double* slope) {
    if (classes < 2) return 0.0;
    const double teacher_binary[2] = {teacher[target], log_of_others(classes, teacher, target)};
    const double student_binary[2] = {student[target], log_of_others(classes, student, target)};
    double others = 0.0;
    for (Index index = 0; index < classes; ++index) {
        if (index == target) continue;
        const double log_p = teacher[index] - teacher_binary[1], log_q = student[index] - student_binary[1];
        const double p = std::exp(log_p), q = std::exp(log_q);
        if (p > 0.0) others += p * (log_p - log_q);
        if (slope)
            slope[index] += options.dkd_alpha * q * (std::exp(teacher_binary[0]) - std::exp(student_binary[0])) +
                            options.dkd_beta * (q - p);
    }
    if (slope) slope[target] += options.dkd_alpha * (std::exp(student_binary[0]) - std::exp(teacher_binary[0]));
    return options.dkd_alpha * kl_divergence(2, teacher_binary, student_binary) + options.dkd_beta * others;
}

/// The divergence of softened probabilities, and its slope unless that is null.
BANTAM_HOST_DEVICE inline double divergence(const DistillationOptions& options, Index classes, const double* teacher,
                                            const double* student, Index target, double* slope) {
    if (options.kind == Distillation::dkd) return decoupled_kl(options, classes, teacher, student, target, slope);
    const double forward_weight = options.kind == Distillation::kl             ? 1.0
                                  : options.kind == Distillation::symmetric_kl ? 0.5
                                                                               : 0.0;
    double value = 0.0;
    if (forward_weight > 0.0) {
        value += forward_weight * kl_divergence(classes, teacher, student);
        if (slope) add_kl_slope(forward_weight, classes, teacher, student, slope);
    }
    if (forward_weight < 1.0) {
        const double reverse = kl_divergence(classes, student, teacher);
        value += (1.0 - forward_weight) * reverse;
        if (slope) add_reverse_kl_slope(1.0 - forward_weight, reverse, classes, teacher, student, slope);
    }
    return value;
}

}  // namespace detail

/// The distillation loss of one sample by the formulas of Distillation, and `slope` [classes] unless that is null.
/// `student` and `teacher` are logits [classes], `label` is −1 where there is none, `scratch` is [3 · classes].
template <class Scalar>
BANTAM_HOST_DEVICE DistillationLoss distillation_loss(const DistillationOptions& options, Index classes,
                                                      const Scalar* student, const Scalar* teacher, Index label,
                                                      double* scratch, double* slope) {
    double *soft_student = scratch, *soft_teacher = scratch + classes, *z = scratch + 2 * classes;
    double slope_scale = 1.0;
    if (options.standardized) {
        standardize(classes, teacher, soft_teacher);
        slope_scale = standardize(classes, student, z);
    }
    if (slope)
        for (Index index = 0; index < classes; ++index) slope[index] = 0.0;

    DistillationLoss loss;
    if (options.kind == Distillation::mse) {
        for (Index index = 0; index < classes; ++index) {
            const double difference = options.standardized
                                          ? z[index] - soft_teacher[index]
                                          : static_cast<double>(student[index]) - static_cast<double>(teacher[index]);
            loss.value += difference * difference;
            if (slope) slope[index] = difference;
        }
        loss.value /= static_cast<double>(classes);
        loss.slope_scale = 2.0 / static_cast<double>(classes) * slope_scale;
    } else {
        const double temperature = options.temperature;
        const Index target = label >= 0 ? label : most_likely_class(classes, teacher);
        if (options.standardized) {
            log_softmax(temperature, classes, z, soft_student);
            log_softmax(temperature, classes, soft_teacher, soft_teacher);
        } else {
            log_softmax(temperature, classes, student, soft_student);
            log_softmax(temperature, classes, teacher, soft_teacher);
        }
        loss.value =
            temperature * temperature * detail::divergence(options, classes, soft_teacher, soft_student, target, slope);
        loss.slope_scale = temperature * slope_scale;
    }
    if (slope && options.standardized) {
        // Through z = (x − mean) · scale: ∂/∂x = scale · (slope − mean(slope) − z · mean(slope · z)).
        double mean = 0.0, product = 0.0;
        for (Index index = 0; index < classes; ++index) {
            mean += slope[index];
            product += slope[index] * z[index];
        }
        const auto count = static_cast<double>(classes);
        for (Index index = 0; index < classes; ++index) slope[index] -= mean / count + z[index] * product / count;
    }
    return loss;
}

}  // namespace bantam
