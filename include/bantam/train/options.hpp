// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/chunk.hpp>
#include <bantam/base/error.hpp>
#include <bantam/base/index.hpp>
#include <bantam/base/number_text.hpp>
#include <bantam/base/random.hpp>
#include <bantam/train/losses.hpp>
#include <bantam/train/schedule.hpp>

#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bantam {

enum class OptimizerKind { sgd, adamw, muon };

constexpr const char* name(OptimizerKind kind) {
    return kind == OptimizerKind::sgd ? "sgd" : kind == OptimizerKind::adamw ? "adamw" : "muon";
}

/// "sgd", "adamw" or "muon"; throws Error on anything else.
inline OptimizerKind optimizer_kind(std::string_view text) {
    for (const OptimizerKind kind : {OptimizerKind::sgd, OptimizerKind::adamw, OptimizerKind::muon})
        if (text == name(kind)) return kind;
    throw Error("optimizer is \"" + std::string(text) + "\"; it must be sgd, adamw or muon");
}

/// The options of a training run; `check` knows which values are allowed.
struct TrainingOptions {
    /// In a run that is shorter, half of the run.
    static constexpr double default_warmup_epochs = 2.0;

    Index epochs = 100;
    Index batch_size = 64;
    OptimizerKind optimizer = OptimizerKind::sgd;
    double learning_rate = 0.1;    ///< at its peak, after warm-up
    double momentum = 0.9;         ///< sgd, and the matrices of muon; Nesterov's where above 0
    double weight_decay = 1e-4;    ///< coupled for sgd, decoupled for adamw and muon; never on biases and norms
    double beta1 = 0.9;            ///< adamw, and all but the matrices of muon, as beta2 and epsilon
    double beta2 = 0.999;          ///< adamw
    double epsilon = 1e-8;         ///< adamw
    Index lookahead_steps = 0;     ///< steps of the optimizer between two of Lookahead; 0 turns it off
    double lookahead_alpha = 0.5;  ///< how far Lookahead's slow weights go towards those of the optimizer
    double warmup_epochs = default_warmup_epochs;
    double final_learning_rate_fraction = 0.01;  ///< of the peak, where the cosine ends
    Distillation distillation = Distillation::kl;
    double temperature = 4.0;                   ///< of distillation
    bool standardize_logits = false;            ///< z-scores of teacher and student before distillation
    double dkd_alpha = 1.0;                     ///< weight of the target class, for Distillation::dkd
    double dkd_beta = 8.0;                      ///< weight of the other classes, for Distillation::dkd
    double alpha = 0.7;                         ///< weight of distillation where a picture has a label, too
    std::optional<double> alpha_where_wrong{};  ///< the same where the teacher's class is not the label; none: alpha
    double label_smoothing = 0.0;
    double labeled_weight = 1.0;           ///< of labeled pictures in the loss, a weighted mean
    double unlabeled_weight = 1.0;         ///< of unlabeled pictures
    double mixed_weight = 1.0;             ///< of pictures mixed with each other
    double clip_norm = 5.0;                ///< largest gradient norm; 0 turns clipping off
    double averaging_decay = 0.999;        ///< of the moving average of weights; 0 turns it off
    bool near_identity_depthwise = false;  ///< where training starts: see InitializeOptions
    bool zero_residual_norms = false;
    std::uint64_t seed = 1;
    bool alternating_flip = false;  ///< for LoaderOptions: mirrors pictures in every other epoch, not at random
    bool allow_tf32 = false;        ///< on a GPU: products in TensorFloat-32, with 10 bits of mantissa
    /// On the CPU, ranks whose batch norms have the statistics of their own samples; 1: those of the whole batch.
    Index norm_ranks = 1;
    int threads = 1;

    LossOptions loss() const {
        return {.distillation = {.kind = distillation,
                                 .temperature = temperature,
                                 .standardized = standardize_logits,
                                 .dkd_alpha = dkd_alpha,
                                 .dkd_beta = dkd_beta},
                .alpha = alpha,
                .alpha_where_wrong = alpha_where_wrong.value_or(alpha),
                .label_smoothing = label_smoothing,
                .weights = {.labeled = labeled_weight, .unlabeled = unlabeled_weight, .mixed = mixed_weight}};
    }

    /// The seed of a step's dropout masks; steps count from 0.
    std::uint64_t dropout_seed(Index step) const {
        constexpr std::uint64_t dropout_stream = 0xD20;
        return random_bits(seed, dropout_stream, static_cast<std::uint64_t>(step));
    }

    /// The learning rate of every step of the run. Throws Error where an epoch has no steps.
    Schedule schedule(Index steps_per_epoch) const {
        if (steps_per_epoch < 1)
            throw Error("an epoch has " + std::to_string(steps_per_epoch) + " steps; give at least one");
        const auto length = static_cast<double>(epochs);
        const double warmup = warmup_epochs <= length ? warmup_epochs : length / 2;
        return {.peak = learning_rate,
                .warmup_steps = static_cast<Index>(std::llround(warmup * static_cast<double>(steps_per_epoch))),
                .total_steps = epochs * steps_per_epoch,
                .final_fraction = final_learning_rate_fraction};
    }
};

namespace detail {

inline void require(bool allowed, const char* option, const std::string& value, const char* range) {
    if (!allowed) throw Error(std::string(option) + " is " + value + "; it must be " + range);
}

// The ranges are written so that NaN is outside every one of them.
inline void require(bool allowed, const char* option, double value, const char* range) {
    require(allowed, option, general_text(value), range);
}

inline void require(bool allowed, const char* option, Index value, const char* range) {
    require(allowed, option, std::to_string(value), range);
}

}  // namespace detail

/// Throws Error naming the first option out of range, its value and the range.
inline void check(const TrainingOptions& options) {
    const auto require = [](bool allowed, const char* option, auto value, const char* range) {
        detail::require(allowed, option, value, range);
    };
    const auto& o = options;
    require(o.epochs >= 1 && o.epochs <= 1'000'000, "epochs", o.epochs, "in 1..1000000");
    require(o.batch_size >= 1 && o.batch_size <= 65'536, "batch_size", o.batch_size, "in 1..65536");
    require(o.learning_rate > 0.0 && o.learning_rate <= 100.0, "learning_rate", o.learning_rate,
            "above 0 and at most 100");
    require(o.momentum >= 0.0 && o.momentum < 1.0, "momentum", o.momentum, "at least 0 and below 1");
    require(o.weight_decay >= 0.0 && o.weight_decay <= 10.0, "weight_decay", o.weight_decay, "in 0..10");
    require(o.beta1 >= 0.0 && o.beta1 < 1.0, "beta1", o.beta1, "at least 0 and below 1");
    require(o.beta2 >= 0.0 && o.beta2 < 1.0, "beta2", o.beta2, "at least 0 and below 1");
    require(o.epsilon > 0.0 && o.epsilon <= 1.0, "epsilon", o.epsilon, "above 0 and at most 1");
    require(o.lookahead_steps >= 0 && o.lookahead_steps <= 1'000'000, "lookahead_steps", o.lookahead_steps,
            "in 0..1000000 (0 turns Lookahead off)");
    require(o.lookahead_alpha > 0.0 && o.lookahead_alpha <= 1.0, "lookahead_alpha", o.lookahead_alpha,
            "above 0 and at most 1");
    require(o.warmup_epochs == TrainingOptions::default_warmup_epochs ||
                (o.warmup_epochs >= 0.0 && o.warmup_epochs <= static_cast<double>(o.epochs)),
            "warmup_epochs", o.warmup_epochs, "at least 0 and at most epochs");
    require(o.final_learning_rate_fraction >= 0.0 && o.final_learning_rate_fraction <= 1.0,
            "final_learning_rate_fraction", o.final_learning_rate_fraction, "in 0..1");
    require(o.temperature >= 0.01 && o.temperature <= 1000.0, "temperature", o.temperature, "in 0.01..1000");
    require(o.dkd_alpha >= 0.0 && o.dkd_alpha <= 1000.0, "dkd_alpha", o.dkd_alpha, "in 0..1000");
    require(o.dkd_beta >= 0.0 && o.dkd_beta <= 1000.0, "dkd_beta", o.dkd_beta, "in 0..1000");
    require(o.alpha >= 0.0 && o.alpha <= 1.0, "alpha", o.alpha, "in 0..1");
    const double alpha_where_wrong = o.alpha_where_wrong.value_or(o.alpha);
    require(alpha_where_wrong >= 0.0 && alpha_where_wrong <= 1.0, "alpha_where_wrong", alpha_where_wrong, "in 0..1");
    require(o.label_smoothing >= 0.0 && o.label_smoothing < 1.0, "label_smoothing", o.label_smoothing,
            "at least 0 and below 1");
    for (const auto& [name, weight] : {std::pair{"labeled_weight", o.labeled_weight},
                                       {"unlabeled_weight", o.unlabeled_weight},
                                       {"mixed_weight", o.mixed_weight}})
        require(weight >= 0.0 && weight <= 1000.0, name, weight, "in 0..1000");
    require(o.clip_norm >= 0.0 && std::isfinite(o.clip_norm), "clip_norm", o.clip_norm,
            "a finite number, at least 0 (0 turns clipping off)");
    require(o.averaging_decay >= 0.0 && o.averaging_decay < 1.0, "averaging_decay", o.averaging_decay,
            "at least 0 and below 1 (0 turns averaging off)");
    require(o.norm_ranks >= 1 && o.norm_ranks <= max_chunks, "norm_ranks", o.norm_ranks, "in 1..16");
    require(o.threads >= 1 && o.threads <= 1024, "threads", static_cast<Index>(o.threads), "in 1..1024");
}

/// Every option that the weights depend on, by name, as the shortest text that tells values apart. The
/// number of threads is not among them. A resumed run must have the same ones.
inline std::vector<std::pair<std::string, std::string>> described(const TrainingOptions& o) {
    const auto text = [](bool value) { return value ? "true" : "false"; };
    return {{"epochs", std::to_string(o.epochs)},
            {"batch_size", std::to_string(o.batch_size)},
            {"optimizer", name(o.optimizer)},
            {"learning_rate", exact_text(o.learning_rate)},
            {"momentum", exact_text(o.momentum)},
            {"weight_decay", exact_text(o.weight_decay)},
            {"beta1", exact_text(o.beta1)},
            {"beta2", exact_text(o.beta2)},
            {"epsilon", exact_text(o.epsilon)},
            {"lookahead_steps", std::to_string(o.lookahead_steps)},
            {"lookahead_alpha", exact_text(o.lookahead_alpha)},
            {"warmup_epochs", exact_text(o.warmup_epochs)},
            {"final_learning_rate_fraction", exact_text(o.final_learning_rate_fraction)},
            {"distillation", name(o.distillation)},
            {"temperature", exact_text(o.temperature)},
            {"standardize_logits", text(o.standardize_logits)},
            {"dkd_alpha", exact_text(o.dkd_alpha)},
            {"dkd_beta", exact_text(o.dkd_beta)},
            {"alpha", exact_text(o.alpha)},
            {"alpha_where_wrong", o.alpha_where_wrong ? exact_text(*o.alpha_where_wrong) : "alpha"},
            {"label_smoothing", exact_text(o.label_smoothing)},
            {"labeled_weight", exact_text(o.labeled_weight)},
            {"unlabeled_weight", exact_text(o.unlabeled_weight)},
            {"mixed_weight", exact_text(o.mixed_weight)},
            {"clip_norm", exact_text(o.clip_norm)},
            {"averaging_decay", exact_text(o.averaging_decay)},
            {"near_identity_depthwise", text(o.near_identity_depthwise)},
            {"zero_residual_norms", text(o.zero_residual_norms)},
            {"seed", std::to_string(o.seed)},
            {"flip", o.alternating_flip ? "alternating" : "random"},
            {"allow_tf32", text(o.allow_tf32)},
            {"norm_ranks", std::to_string(o.norm_ranks)}};
}

}  // namespace bantam
