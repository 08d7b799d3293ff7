// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/cuda/runtime/execution.hpp>
#include <bantam/cuda/training/loss.hpp>

#include <cstdint>

namespace bantam::cuda {

/// A batch on the device, with the buffers of its loss. Of several ranks, each has the pixels of the samples that it
/// computes.
struct BatchMemory {
    DeviceBuffer<float> pixels;                   ///< [computed][height][width][channels]
    DeviceBuffer<std::int32_t> labels;            ///< [count], −1 where there is none
    DeviceBuffer<float> teacher_logits;           ///< [count][classes]
    DeviceBuffer<float> targets;                  ///< [count][classes]; empty unless the loss reads them
    DeviceBuffer<std::uint8_t> has_teacher;       ///< [count], 0 or 1
    DeviceBuffer<std::uint8_t> mixed;             ///< [count], 0 or 1
    DeviceBuffer<float> logits, logits_gradient;  ///< [count][classes]
    DeviceBuffer<double> loss_scratch;

    /// Makes space for `count` samples, and `elements` pixel values of each of the `computed` ones; true where that
    /// moved any buffer.
    bool reserve(Index count, Index computed, Index elements, Index classes, bool has_targets = false) {
        bool moved = pixels.reserve(computed * elements);
        moved |= labels.reserve(count);
        moved |= teacher_logits.reserve(count * classes);
        moved |= has_teacher.reserve(count);
        moved |= mixed.reserve(count);
        if (has_targets) moved |= targets.reserve(count * classes);
        moved |= logits.reserve(count * classes);
        moved |= logits_gradient.reserve(count * classes);
        moved |= loss_scratch.reserve(cuda::loss_scratch(count, classes));
        return moved;
    }

    /// The figures of the logits against the targets, summed into `figures`, and the gradient of the loss.
    template <class L>
    void find_loss(const Execution& execution, const L& loss, Index count, Index classes, bool has_teacher_logits,
                   StepFigures* figures) {
        loss_and_gradient<float>(execution, loss, count, classes, logits.data(),
                                 {labels.data(), has_teacher_logits ? teacher_logits.data() : nullptr,
                                  has_teacher_logits ? has_teacher.data() : nullptr, targets.data(), mixed.data()},
                                 loss_scratch.data(), logits_gradient.data(), figures);
    }
};

}  // namespace bantam::cuda
