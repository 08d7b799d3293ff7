// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/host_device.hpp>
#include <bantam/base/index.hpp>
#include <bantam/base/parallel_for.hpp>
#include <bantam/train/averaging.hpp>
#include <bantam/train/optimizers/adamw.hpp>
#include <bantam/train/optimizers/orthogonalize.hpp>
#include <bantam/train/optimizers/parameter_range.hpp>
#include <bantam/train/optimizers/rule_optimizer.hpp>
#include <bantam/train/optimizers/update.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

namespace bantam {

struct MuonOptions {
    double momentum = 0.9;
    AdamWOptions adamw{};  ///< of all parameters that are in no matrix; its weight decay is that of the matrices, too
};

/// Muon's step of a matrix W [rows][columns], on any device, with g = scale · gradient:
///
///   M = momentum · M + (1 − momentum) · g
///   W = (1 − learning_rate · weight_decay) · W − learning_rate · 0.2 · √max(rows, columns) · O
///
/// where O orthogonalizes (1 − momentum) · g + momentum · M (Jordan et al., "Muon: an optimizer for hidden layers in
/// neural networks", 2024). The factor gives the step the root mean square of AdamW's, so that one learning rate and
/// weight decay serve both (Liu et al., "Muon is scalable for LLM training", 2025).
template <class S>
struct MuonRule {
    S scale, shrink, momentum, one_minus_momentum, rate;

    MuonRule() = default;
    MuonRule(const MuonOptions& options, const Update& update)
        : scale{static_cast<S>(update.gradient_scale)},
          shrink{static_cast<S>(1.0 - update.learning_rate * options.adamw.weight_decay)},
          momentum{static_cast<S>(options.momentum)},
          one_minus_momentum{static_cast<S>(1.0 - options.momentum)},
          rate{static_cast<S>(0.2 * update.learning_rate)} {}

    /// What is to be orthogonalized; updates the momentum.
    BANTAM_HOST_DEVICE S direction(S gradient, S& buffer) const {
        const S g = scale * gradient;
        buffer = momentum * buffer + one_minus_momentum * g;
        return one_minus_momentum * g + momentum * buffer;
    }
    /// The step's length for a matrix whose longer side is `longer`.
    BANTAM_HOST_DEVICE S length(Index longer) const { return rate * std::sqrt(static_cast<S>(longer)); }
    /// The parameter's next value.
    BANTAM_HOST_DEVICE S operator()(S orthogonalized, S parameter, S length_of_step) const {
        return shrink * parameter - length_of_step * orthogonalized;
    }
};

/// Muon on the matrices of a network and AdamW on all other parameters, on the CPU. Its state is AdamW's: the first
/// moment of a matrix is Muon's momentum, and its second moment remains 0.
template <class Scalar>
class Muon {
public:
    /// `matrices` lie within `ranges`, in order; `ranges` cover the parameter buffer [parameter_count], and Error is
    /// thrown where they do not.
    Muon(const MuonOptions& options, std::span<const ParameterRange> ranges, std::span<const ParameterMatrix> matrices,
         Index parameter_count)
        : options_{options},
          others_{options.adamw, ranges, parameter_count, matrices},
          matrices_{matrices.rbegin(), matrices.rend()} {}

    /// One step; the arguments are those of RuleOptimizer. A matrix is one thread's work, so that the number of
    /// threads changes no bit.
    void step(const Update& update, std::span<const Scalar> gradient, std::span<Scalar> parameters,
              std::span<Scalar> average = {}) {
        others_.step(update, gradient, parameters, average);
        const MuonRule<Scalar> rule{options_, update};
        const auto new_weight = static_cast<Scalar>(1.0 - update.averaging_decay);
        const std::span<Scalar> momentum = others_.state().front().values;
        parallel_for(std::ssize(matrices_), update.threads, [&](Index index, int) {
            const ParameterMatrix& matrix = matrices_[static_cast<std::size_t>(index)];
            const auto part = [&](auto buffer) {
                return buffer.subspan(static_cast<std::size_t>(matrix.begin), static_cast<std::size_t>(matrix.size()));
            };
            step_matrix(rule, new_weight, matrix, part(gradient).data(), part(parameters).data(),
                        average.empty() ? nullptr : part(average).data(), part(momentum).data());
        });
    }

    Index steps() const { return others_.steps(); }
    void set_steps(Index steps) { others_.set_steps(steps); }
    std::vector<OptimizerState<Scalar>> state() { return others_.state(); }

private:
    static void step_matrix(const MuonRule<Scalar> rule, Scalar new_weight, const ParameterMatrix& matrix,
                            const Scalar* gradient, Scalar* parameters, Scalar* average, Scalar* momentum) {
        const auto size = static_cast<std::size_t>(matrix.size());
        std::vector<Scalar> direction(size);
        for (std::size_t i = 0; i < size; ++i) direction[i] = rule.direction(gradient[i], momentum[i]);
        orthogonalize(matrix.rows, matrix.columns, direction.data());
        const Scalar length = rule.length(std::max(matrix.rows, matrix.columns));
        for (std::size_t i = 0; i < size; ++i) parameters[i] = rule(direction[i], parameters[i], length);
        if (average == nullptr) return;
        for (std::size_t i = 0; i < size; ++i) average[i] = averaged(average[i], parameters[i], new_weight);
    }

    MuonOptions options_;
    RuleOptimizer<AdamWRule<Scalar>> others_;
    // From the last one on: most networks grow wider, and a large matrix should not be the last that a thread takes.
    std::vector<ParameterMatrix> matrices_;
};

}  // namespace bantam
