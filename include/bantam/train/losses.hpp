// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/error.hpp>
#include <bantam/base/host_device.hpp>
#include <bantam/base/index.hpp>
#include <bantam/train/distillation.hpp>
#include <bantam/train/softmax.hpp>

#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace bantam {

/// How much a sample counts in the loss by where it comes from, each at least 0. A sample of pictures mixed with each
/// other is mixed, any other one labeled where it has a label, else unlabeled.
struct SourceWeights {
    double labeled = 1.0;
    double unlabeled = 1.0;
    double mixed = 1.0;

    BANTAM_HOST_DEVICE constexpr double of(Index label, bool is_mixed) const {
        return is_mixed ? mixed : (label >= 0 ? labeled : unlabeled);
    }
    /// Whether every sample counts the same.
    constexpr bool all_one() const { return labeled == 1.0 && unlabeled == 1.0 && mixed == 1.0; }
};

/// How label and teacher are weighted.
struct LossOptions {
    DistillationOptions distillation{};
    double alpha = 0.7;  ///< weight of the teacher, 0..1, where a sample has teacher and label
    /// The same where the teacher's most likely class is not the label.
    double alpha_where_wrong = alpha;
    double label_smoothing = 0.0;  ///< 0..1, part of the target that is spread evenly over all classes
    SourceWeights weights{};
};

/// What a classifier's loss is in an evaluation, however it was trained: runs can be compared, and the epochs of one
/// run are.
inline constexpr LossOptions evaluation_loss_options{.distillation = {.kind = Distillation::kl, .temperature = 4.0},
                                                     .alpha = 0.7};

/// The loss of a Trainer for classifiers: cross-entropy with the labels and distillation from a teacher, weighted as
/// TrainingOptions say; `loss_and_gradient` gives the formulas.
struct CrossEntropy {};

/// A loss of one sample against its target values [outputs], as for regression:
///
///   double value(Index outputs, const float* output, const float* target) const;
///   void gradient(Index outputs, const float* output, const float* target, float* gradient) const;
///
/// `gradient` writes ∂value/∂output [outputs]. A batch's loss is the mean over its samples.
template <class L>
concept TargetLoss =
    std::copy_constructible<L> && requires(const L& loss, Index outputs, const float* values, float* gradient) {
        { loss.value(outputs, values, values) } -> std::convertible_to<double>;
        loss.gradient(outputs, values, values, gradient);
    };

/// A loss of one sample against its label, 0 … outputs − 1, as for classification. The members are those of a
/// TargetLoss with `Index label` in place of `const float* target`.
template <class L>
concept LabelLoss =
    std::copy_constructible<L> && requires(const L& loss, Index outputs, const float* output, float* gradient) {
        { loss.value(outputs, output, outputs) } -> std::convertible_to<double>;
        loss.gradient(outputs, output, outputs, gradient);
    };

/// What a Trainer minimizes. On a GPU the members of a loss of your own are BANTAM_HOST_DEVICE.
template <class L>
concept TrainingLoss = std::same_as<L, CrossEntropy> || TargetLoss<L> || LabelLoss<L>;

/// Σ (output − target)² / outputs of one sample; over a batch this is PyTorch's `mse_loss`.
struct MeanSquaredError {
    template <class Scalar>
    BANTAM_HOST_DEVICE double value(Index outputs, const Scalar* output, const Scalar* target) const {
        double sum = 0.0;
        for (Index index = 0; index < outputs; ++index) {
            const double difference = static_cast<double>(output[index]) - static_cast<double>(target[index]);
            sum += difference * difference;
        }
        return sum / static_cast<double>(outputs);
    }
    template <class Scalar>
    BANTAM_HOST_DEVICE void gradient(Index outputs, const Scalar* output, const Scalar* target,
                                     Scalar* gradient) const {
        for (Index index = 0; index < outputs; ++index)
            gradient[index] = 2 * (output[index] - target[index]) / static_cast<Scalar>(outputs);
    }
};

/// The targets of a batch of `count` samples. For CrossEntropy every sample has a label, a teacher, or both; a
/// LabelLoss reads the labels, a TargetLoss the values.
template <class Scalar>
struct Targets {
    std::span<const std::int32_t> labels;         ///< [count] class index, -1 where there is none
    std::span<const Scalar> teacher_logits{};     ///< [count, classes], or empty without any teacher
    std::span<const std::uint8_t> has_teacher{};  ///< [count] 0 or 1, or empty without any teacher
    std::span<const Scalar> values{};             ///< [count, outputs], or empty where no TargetLoss reads them
    std::span<const std::uint8_t> mixed{};        ///< [count] 1 for mixed pictures, or empty where none is
};

/// Sums over samples (not means), so that batches can be added; metrics.hpp turns them into means. Every
/// member must be listed in for_each_loss_figure.
struct LossSums {
    double loss = 0.0;           ///< the minimized function, each sample times its weight
    double weight = 0.0;         ///< of the samples; their count where SourceWeights are all 1
    double cross_entropy = 0.0;  ///< over the labeled samples, with the label smoothing in use
    double distillation = 0.0;   ///< the distillation loss in use, over the samples with a teacher
    double kl_divergence = 0.0;  ///< KL(teacher ‖ student) at temperature 1, over the samples with a teacher
    Index count = 0;
    Index labeled = 0;
    Index correct = 0;  ///< labeled samples whose most likely class is the label
    Index with_teacher = 0;
    Index agree = 0;  ///< samples whose most likely class is the teacher's

    BANTAM_HOST_DEVICE constexpr LossSums& operator+=(const LossSums& other);
};

/// Calls `body` with each figure of `sums`, in one fixed order; with several LossSums, with the same figure of
/// each.
template <class Body, class... Sums>
BANTAM_HOST_DEVICE constexpr void for_each_loss_figure(const Body& body, Sums&... sums) {
    body(sums.loss...);
    body(sums.cross_entropy...);
    body(sums.distillation...);
    body(sums.count...);
    body(sums.labeled...);
    body(sums.correct...);
    body(sums.with_teacher...);
    body(sums.agree...);
    body(sums.weight...);
    body(sums.kl_divergence...);
}

BANTAM_HOST_DEVICE constexpr LossSums& LossSums::operator+=(const LossSums& other) {
    for_each_loss_figure([](auto& sum, const auto& figure) { sum += figure; }, *this, other);
    return *this;
}

/// Cross-entropy of one sample against the target (1 − s)·onehot(label) + s/classes, where s is the
/// label smoothing (Szegedy et al., "Rethinking the Inception architecture", 2016; PyTorch's
/// `cross_entropy(label_smoothing=s)`).
BANTAM_HOST_DEVICE inline double cross_entropy(double label_smoothing, Index classes, const double* log_probabilities,
                                               Index label) {
    const double label_term = -(1.0 - label_smoothing) * log_probabilities[label];
    if (label_smoothing == 0.0) return label_term;
    double total = 0.0;
    for (Index index = 0; index < classes; ++index) total += log_probabilities[index];
    return label_term - label_smoothing / static_cast<double>(classes) * total;
}

/// The weight of a sample in a batch's loss.
BANTAM_HOST_DEVICE constexpr double sample_weight(const LossOptions& options, Index label, bool mixed) {
    return options.weights.of(label, mixed);
}
/// That of a loss of one's own is 1.
template <class L>
    requires TargetLoss<L> || LabelLoss<L>
BANTAM_HOST_DEVICE constexpr double sample_weight(const L&, Index, bool) {
    return 1.0;
}

/// A sample's weight, and the sum of those of its batch.
struct SampleWeight {
    double weight = 1.0;
    double of_batch = 1.0;

    /// By how much the gradient of a sample's loss counts in that of the batch's mean.
    BANTAM_HOST_DEVICE constexpr double share() const { return of_batch > 0.0 ? weight / of_batch : 0.0; }
};

/// How many doubles `sample_loss` needs.
BANTAM_HOST_DEVICE constexpr Index sample_loss_scratch(Index classes) { return 5 * classes; }

/// Loss of one sample, and its part of the gradient of the batch's loss; `loss_and_gradient` gives the formulas.
/// `label` is −1 and `teacher` null where there is none, but not both; `gradient` may be null. `scratch` is
/// [sample_loss_scratch(classes)].
template <class Scalar>
BANTAM_HOST_DEVICE LossSums sample_loss(const LossOptions& options, Index classes, const Scalar* logits, Index label,
                                        const Scalar* teacher, const SampleWeight& weight, double* scratch,
                                        Scalar* gradient) {
    const bool labeled = label >= 0;
    const bool taught = teacher != nullptr;
    const Index guess = most_likely_class(classes, logits);
    const Index answer = taught ? most_likely_class(classes, teacher) : -1;
    const double teacher_weight =
        !taught ? 0.0 : (!labeled ? 1.0 : (answer == label ? options.alpha : options.alpha_where_wrong));
    const double label_weight = labeled ? 1.0 - teacher_weight : 0.0;
    double *student = scratch, *slope = scratch + classes, *others = scratch + 2 * classes;

    LossSums sums{.weight = weight.weight, .count = 1};
    DistillationLoss distillation;
    log_softmax(1.0, classes, logits, student);
    if (labeled) {
        sums.cross_entropy = cross_entropy(options.label_smoothing, classes, student, label);
        sums.loss += label_weight * sums.cross_entropy;
        sums.labeled = 1;
        sums.correct = guess == label;
    }
    if (taught) {
        log_softmax(1.0, classes, teacher, others);
        sums.kl_divergence = kl_divergence(classes, others, student);
        distillation = distillation_loss(options.distillation, classes, logits, teacher, label, others,
                                         gradient ? slope : nullptr);
        sums.distillation = distillation.value;
        sums.loss += teacher_weight * sums.distillation;
        sums.with_teacher = 1;
        sums.agree = guess == answer;
    }
    sums.loss *= weight.weight;
    if (!gradient) return sums;
    const double share = weight.share();
    const double smoothed_target = options.label_smoothing / static_cast<double>(classes);
    for (Index index = 0; index < classes; ++index) {
        double value = 0.0;
        if (labeled) {
            double target = smoothed_target;
            if (index == label) target += 1.0 - options.label_smoothing;
            value += label_weight * (std::exp(student[index]) - target);
        }
        if (taught) value += teacher_weight * distillation.slope_scale * slope[index];
        gradient[index] = static_cast<Scalar>(share * value);
    }
    return sums;
}

/// The same for a loss of one's own. `target` is [outputs]; it is null for a LabelLoss, whose figures include the
/// cross-entropy and accuracy of the labels.
template <class Scalar, class L>
    requires TargetLoss<L> || LabelLoss<L>
BANTAM_HOST_DEVICE LossSums sample_loss(const L& loss, Index outputs, const Scalar* output, Index label,
                                        const Scalar* target, const SampleWeight& weight, double* scratch,
                                        Scalar* gradient) {
    LossSums sums{.weight = weight.weight, .count = 1};
    if constexpr (TargetLoss<L>) {
        sums.loss = static_cast<double>(loss.value(outputs, output, target));
        if (gradient) loss.gradient(outputs, output, target, gradient);
    } else {
        sums.loss = static_cast<double>(loss.value(outputs, output, label));
        log_softmax(1.0, outputs, output, scratch);
        sums.cross_entropy = cross_entropy(0.0, outputs, scratch, label);
        sums.labeled = 1;
        sums.correct = most_likely_class(outputs, output) == label;
        if (gradient) loss.gradient(outputs, output, label, gradient);
    }
    if (gradient)
        for (Index index = 0; index < outputs; ++index)
            gradient[index] = static_cast<Scalar>(weight.share() * static_cast<double>(gradient[index]));
    return sums;
}

namespace detail {

inline const char* non_finite_text(double value) { return std::isnan(value) ? "NaN" : (value > 0 ? "inf" : "-inf"); }

[[noreturn]] inline void throw_non_finite(const char* what, std::size_t sample, std::size_t index, double value) {
    const char* advice = "; lower the learning rate or the clip norm, or warm up longer";
    if (std::string_view{what} == "teacher logit") advice = "; write the teacher logits anew";
    if (std::string_view{what} == "target") advice = "; check the targets";
    throw Error(std::string("loss is not finite: ") + what + " of sample " + std::to_string(sample) +
                " of the batch, class " + std::to_string(index) + ", is " + non_finite_text(value) + advice);
}

[[noreturn]] inline void throw_non_finite_loss(std::size_t sample, double value) {
    throw Error("loss is not finite: that of sample " + std::to_string(sample) + " of the batch is " +
                non_finite_text(value) + "; check the targets, or lower the learning rate");
}

template <class Scalar>
void require_finite(const char* what, std::size_t sample, std::span<const Scalar> logits) {
    for (std::size_t index = 0; index < logits.size(); ++index) {
        if (!std::isfinite(logits[index])) {
            throw_non_finite(what, sample, index, static_cast<double>(logits[index]));
        }
    }
}

inline void require_size(const char* what, std::size_t found, std::size_t expected) {
    if (found != expected) {
        throw Error(std::string("loss: ") + what + " has " + std::to_string(found) + " elements, expected " +
                    std::to_string(expected) + " for this batch");
    }
}

/// Throws Error unless the targets of `count` samples have the sizes, and each sample the target, that a loss reads.
template <class L, class Scalar>
void require_targets(Index classes, std::size_t count, const Targets<Scalar>& targets) {
    const std::size_t values = count * static_cast<std::size_t>(classes);
    if constexpr (TargetLoss<L>) {
        if (targets.values.empty() && values > 0)
            throw Error("loss: the batch has no target values, which this loss reads; give floats [count][outputs]");
        require_size("targets", targets.values.size(), values);
    } else {
        if (targets.labels.empty() && count > 0)
            throw Error(
                std::string("loss: the batch has no labels, which this loss reads; give an integer per picture") +
                (targets.values.empty() ? "" : ": floats are target values, as for MeanSquaredError"));
        require_size("labels", targets.labels.size(), count);
        if (!targets.has_teacher.empty() || !targets.teacher_logits.empty()) {
            require_size("teacher mask", targets.has_teacher.size(), count);
            require_size("teacher logits", targets.teacher_logits.size(), values);
        }
        if (!targets.mixed.empty()) require_size("mask of mixed pictures", targets.mixed.size(), count);
        for (std::size_t sample = 0; sample < count; ++sample) {
            const std::int32_t label = targets.labels[sample];
            if (label != -1 && (label < 0 || label >= classes))
                throw Error("loss: label " + std::to_string(label) + " of sample " + std::to_string(sample) +
                            " of the batch is outside 0.." + std::to_string(classes - 1) +
                            "; check the class count of the network");
            const bool taught = !LabelLoss<L> && !targets.has_teacher.empty() && targets.has_teacher[sample] != 0;
            if (label == -1 && !taught)
                throw Error("loss: sample " + std::to_string(sample) + " of the batch has " +
                            (LabelLoss<L> ? "no label" : "neither a label nor teacher logits") + "; leave it out");
        }
    }
}

}  // namespace detail

/// Loss of a batch and its gradient with respect to the logits.
///
///   label and teacher   α · distillation + (1 − α) · cross-entropy
///   teacher alone       distillation
///   label alone         cross-entropy
///
/// Distillation (train/distillation.hpp) is T² · KL(teacher/T ‖ student/T) by default; α is `alpha_where_wrong` where
/// the teacher's most likely class is not the label. A batch's loss is the weighted mean over its samples,
///
///   Σ w · loss / Σ w,   where w is the weight of the sample's source (SourceWeights),
///
/// so that weights twice as large change nothing. A batch of weight 0 has no gradient.
///
/// With a TargetLoss or LabelLoss as `loss`, its value; teacher logits are not read.
///
/// `logits` and `gradient` are [count, classes]; with an empty `gradient` only the sums are computed.
/// Where a batch is passed in chunks, `batch_weight` is the sum of the weights of all its samples; 0 stands for that of
/// this call.
/// Sums run in sample order in double. Throws Error on a NaN or infinite logit, target or loss, a label outside the
/// classes, a sample without a target that the loss reads, and sizes that do not fit each other.
template <class Scalar, class L = LossOptions>
LossSums loss_and_gradient(const L& loss, Index classes, std::span<const std::type_identity_t<Scalar>> logits,
                           const Targets<Scalar>& targets, std::span<std::type_identity_t<Scalar>> gradient,
                           double batch_weight = 0.0) {
    const auto width = static_cast<std::size_t>(classes);
    const std::size_t count = logits.size() / width;
    detail::require_size("logits", logits.size(), count * width);
    if (!gradient.empty()) detail::require_size("gradient", gradient.size(), logits.size());
    detail::require_targets<L>(classes, count, targets);

    const auto weight_of = [&](std::size_t sample) {
        const Index label = TargetLoss<L> ? -1 : targets.labels[sample];
        return sample_weight(loss, label, !targets.mixed.empty() && targets.mixed[sample] != 0);
    };
    if (batch_weight == 0.0)
        for (std::size_t sample = 0; sample < count; ++sample) batch_weight += weight_of(sample);
    std::vector<double> scratch(static_cast<std::size_t>(sample_loss_scratch(classes)));

    LossSums sums;
    for (std::size_t sample = 0; sample < count; ++sample) {
        detail::require_finite("a logit", sample, logits.subspan(sample * width, width));
        std::int32_t label = -1;
        const Scalar* target = nullptr;  // the teacher's logits or the target values
        if constexpr (TargetLoss<L>) {
            target = targets.values.data() + sample * width;
            detail::require_finite("target", sample, std::span<const Scalar>{target, width});
        } else {
            label = targets.labels[sample];
            if (!LabelLoss<L> && !targets.has_teacher.empty() && targets.has_teacher[sample] != 0) {
                target = targets.teacher_logits.data() + sample * width;
                detail::require_finite("teacher logit", sample, std::span<const Scalar>{target, width});
            }
        }
        const LossSums of_sample = sample_loss<Scalar>(loss, classes, logits.data() + sample * width, label, target,
                                                       {weight_of(sample), batch_weight}, scratch.data(),
                                                       gradient.empty() ? nullptr : gradient.data() + sample * width);
        if (!std::isfinite(of_sample.loss)) detail::throw_non_finite_loss(sample, of_sample.loss);
        sums += of_sample;
    }
    return sums;
}

}  // namespace bantam
