// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/cuda/kernels/row_reduction.hpp>
#include <bantam/cuda/runtime/execution.hpp>
#include <bantam/cuda/runtime/operation.hpp>
#include <bantam/cuda/training/step_state.hpp>
#include <bantam/train/losses.hpp>

#include <cstdint>

namespace bantam::cuda {

namespace detail {

template <class S>
struct LossOfSample {
    LossOptions options;
    Index classes;
    const S* logits;
    const std::int32_t* labels;
    const S* teacher_logits;          // null without any teacher
    const std::uint8_t* has_teacher;  // null without any teacher
    double gradient_weight;
    double *scratch, *figures;  // [sample][3 · classes], [sample][loss_figures]
    S* gradient;

    BANTAM_HOST_DEVICE static bool finite(Index count, const S* values) {
        // x − x is 0 only for finite x.
        for (Index i = 0; i < count; ++i)
            if (!(values[i] - values[i] == S(0))) return false;
        return true;
    }
    BANTAM_HOST_DEVICE void operator()(Index n) const {
        const S* sample_logits = logits + n * classes;
        const S* teacher = has_teacher && has_teacher[n] ? teacher_logits + n * classes : nullptr;
        const bool valid = labels[n] >= -1 && labels[n] < classes && (labels[n] >= 0 || teacher) &&
                           finite(classes, sample_logits) && (!teacher || finite(classes, teacher));
        LossSums sums;
        if (valid)
            sums = sample_loss<S>(options, classes, sample_logits, labels[n], teacher, gradient_weight,
                                  scratch + n * 3 * classes, gradient + n * classes);
        store_loss_sums(sums, figures + n * loss_figures);
    }
};

struct FigureOfSample {
    const double* figures;
    BANTAM_HOST_DEVICE double operator()(Index n, Index figure) const { return figures[n * loss_figures + figure]; }
};

}  // namespace detail

/// A batch's targets on the device; see bantam::Targets.
template <class S>
struct DeviceTargets {
    const std::int32_t* labels;
    const S* teacher_logits;
    const std::uint8_t* has_teacher;
};

/// Loss of a batch and its gradient with respect to the logits [count][classes]; the samples' figures are
/// summed into `figures`. A sample for which bantam::loss_and_gradient would throw counts for nothing there.
/// `scratch` holds `loss_scratch(count, classes)` doubles.
template <class S>
void loss_and_gradient(const Execution& execution, const LossOptions& options, Index count, Index classes,
                       const S* logits, const DeviceTargets<S>& targets, double* scratch, S* gradient,
                       StepFigures* figures) {
    double* sample_figures = scratch + 3 * classes * count;
    double* partials = sample_figures + loss_figures * count;
    for_each_index(
        execution, count,
        detail::LossOfSample<S>{options, classes, logits, targets.labels, targets.teacher_logits, targets.has_teacher,
                                1.0 / static_cast<double>(count), scratch, sample_figures, gradient});
    sum_over_rows(execution, count, loss_figures, detail::FigureOfSample{sample_figures}, partials, figures->loss);
}
constexpr Index loss_scratch(Index count, Index classes) {
    return (3 * classes + loss_figures) * count + max_slices * loss_figures;
}

}  // namespace bantam::cuda
