// SPDX-License-Identifier: MIT
// Needs what data/teacher_logits.hpp needs.
#pragma once

#include <bantam/base/chunk.hpp>
#include <bantam/base/error.hpp>
#include <bantam/base/index.hpp>
#include <bantam/core/shape.hpp>
#include <bantam/core/shape_text.hpp>
#include <bantam/data/batch.hpp>
#include <bantam/data/color.hpp>
#include <bantam/data/sample_plan.hpp>
#include <bantam/data/stored_view.hpp>
#include <bantam/data/teacher_logits.hpp>

#include <cstddef>
#include <string>

namespace bantam {

/// How the teacher was shown a row of its logits, without a label. `sample_of(image)` is a loader's sample of an image
/// of the file; `further` changes the colors that it was shown.
template <class SampleOf>
SamplePlan stored_plan(const TeacherLogits& teacher, Index row, const Normalization& normalization,
                       const SampleOf& sample_of, const ColorTransform& further = {}) {
    const StoredView shown = teacher.stored_view(row);
    SamplePlan plan{.sample = sample_of(row / teacher.view_count),
                    .teacher_view = row,
                    .view = shown.view,
                    .colors = network_colors(shown.color, normalization, further)};
    if (teacher.is_mixed(row)) {
        const StoredMix mixed = teacher.stored_mix(row);
        plan.second = {sample_of(mixed.image), mixed.second.view,
                       network_colors(mixed.second.color, normalization, further), mixed.mix};
    }
    return plan;
}

namespace detail {

inline void prepare_batch(Batch& batch, Index count, Index pictures, Shape input, Index classes) {
    const auto samples = static_cast<std::size_t>(count);
    batch.count = count;
    batch.pixels.resize(static_cast<std::size_t>(pictures * element_count(input)));
    batch.labels.assign(samples, -1);
    batch.teacher_logits.assign(samples * static_cast<std::size_t>(classes), 0.0F);
    batch.has_teacher.assign(samples, 0);
    batch.mixed.assign(samples, 0);
}

/// Fills `batch` with the `count` samples that `plan_of(0)` … `plan_of(count − 1)` describe, with the pixels of those
/// that `rank` computes.
template <class Loader, class PlanOf>
void assemble_batch(const Loader& loader, Index count, const PlanOf& plan_of, Rank rank, Batch& batch) {
    const TeacherLogits* teacher = loader.teacher();
    const Index classes = teacher == nullptr ? 0 : teacher->class_count();
    const Shape input = loader.input();
    const IndexRange shown = samples_of_rank(count, rank);
    prepare_batch(batch, count, shown.count(), input, classes);
    for (Index slot = 0; slot < count; ++slot) {
        const SamplePlan plan = plan_of(slot);
        batch.labels[static_cast<std::size_t>(slot)] = plan.label;
        batch.mixed[static_cast<std::size_t>(slot)] = plan.mixed();
        if (plan.teacher_view >= 0) {
            batch.has_teacher[static_cast<std::size_t>(slot)] = 1;
            teacher->copy_logits(plan.teacher_view, batch.teacher_logits.data() + slot * classes);
        }
        if (slot < shown.begin || slot >= shown.end) continue;
        cut_sample([&](Index sample) { return loader.pixels(sample); }, loader.stored_size(), plan, input,
                   batch.pixels.data() + (slot - shown.begin) * element_count(input));
    }
}

inline void require_color_input(Shape input) {
    if (input.channels != 3 || input.height < 1 || input.width < 1)
        throw Error{"pictures have 3 channels, the network's image has " + std::string{shape_text(input).view()} +
                    "; use Image<height, width, 3>"};
}

inline void require_batch_size(Index batch_size) {
    if (batch_size < 1)
        throw Error{"batch size is " + std::to_string(batch_size) + ", expected at least 1; choose another batch size"};
}

}  // namespace detail

}  // namespace bantam
