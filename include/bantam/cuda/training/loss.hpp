// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/cuda/kernels/row_reduction.hpp>
#include <bantam/cuda/runtime/execution.hpp>
#include <bantam/cuda/runtime/operation.hpp>
#include <bantam/cuda/training/step_state.hpp>
#include <bantam/train/losses.hpp>

#include <concepts>
#include <cstdint>

namespace bantam::cuda {

/// A batch's targets on the device; see bantam::Targets. What the loss does not read is null.
template <class S>
struct DeviceTargets {
    const std::int32_t* labels;
    const S* teacher_logits;
    const std::uint8_t* has_teacher;
    const S* values;
    const std::uint8_t* mixed;
};

namespace detail {

template <class S, class L>
struct WeightOfSample {
    L loss;
    DeviceTargets<S> targets;
    BANTAM_HOST_DEVICE double operator()(Index n) const {
        if constexpr (TargetLoss<L>)
            return 1.0;
        else
            return sample_weight(loss, targets.labels[n], targets.mixed[n] != 0);
    }
    BANTAM_HOST_DEVICE double operator()(Index n, Index) const { return (*this)(n); }
};

template <class S, class L>
struct LossOfSample {
    L loss;
    Index classes;
    const S* logits;
    DeviceTargets<S> targets;
    double count;
    const double* batch_weight;  // null where it is the count
    double *scratch, *figures;   // [sample][sample_loss_scratch(classes)], [sample][loss_figures]
    S* gradient;

    BANTAM_HOST_DEVICE static bool finite(Index count, const S* values) {
        // x − x is 0 only for finite x.
        for (Index i = 0; i < count; ++i)
            if (!(values[i] - values[i] == S(0))) return false;
        return true;
    }
    BANTAM_HOST_DEVICE void operator()(Index n) const {
        const S* sample_logits = logits + n * classes;
        Index label = -1;
        const S* target = nullptr;  // the teacher's logits or the target values
        bool valid = finite(classes, sample_logits);
        if constexpr (TargetLoss<L>) {
            target = targets.values + n * classes;
        } else {
            label = targets.labels[n];
            if (!LabelLoss<L> && targets.has_teacher && targets.has_teacher[n])
                target = targets.teacher_logits + n * classes;
            valid = valid && label >= -1 && label < classes && (label >= 0 || target);
        }
        LossSums sums;
        if (valid && (!target || finite(classes, target)))
            sums = sample_loss<S>(loss, classes, sample_logits, label, target,
                                  {WeightOfSample<S, L>{loss, targets}(n), batch_weight ? *batch_weight : count},
                                  scratch + n * sample_loss_scratch(classes), gradient + n * classes);
        store_loss_sums(sums.loss - sums.loss == 0 ? sums : LossSums{}, figures + n * loss_figures);
    }
};

struct FigureOfSample {
    const double* figures;
    BANTAM_HOST_DEVICE double operator()(Index n, Index figure) const { return figures[n * loss_figures + figure]; }
};

}  // namespace detail

/// Loss of a batch and its gradient with respect to the logits [count][classes]; the samples' figures are
/// summed into `figures`. A sample for which bantam::loss_and_gradient would throw counts for nothing there.
/// `scratch` holds `loss_scratch(count, classes)` doubles.
template <class S, class L>
void loss_and_gradient(const Execution& execution, const L& loss, Index count, Index classes, const S* logits,
                       const DeviceTargets<S>& targets, double* scratch, S* gradient, StepFigures* figures) {
    double* sample_figures = scratch + sample_loss_scratch(classes) * count;
    double* partials = sample_figures + loss_figures * count;
    double* batch_weight = nullptr;
    if constexpr (std::same_as<L, LossOptions>)
        if (!loss.weights.all_one()) {
            batch_weight = partials + max_slices * loss_figures;
            sum_over_rows(execution, count, 1, detail::WeightOfSample<S, L>{loss, targets}, partials, batch_weight);
        }
    for_each_index(execution, count,
                   detail::LossOfSample<S, L>{loss, classes, logits, targets, static_cast<double>(count), batch_weight,
                                              scratch, sample_figures, gradient});
    sum_over_rows(execution, count, loss_figures, detail::FigureOfSample{sample_figures}, partials, figures->loss);
}
constexpr Index loss_scratch(Index count, Index classes) {
    return (sample_loss_scratch(classes) + loss_figures) * count + max_slices * loss_figures + 1;
}

}  // namespace bantam::cuda
