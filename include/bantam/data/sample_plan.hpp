// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/core/shape.hpp>
#include <bantam/data/color.hpp>
#include <bantam/data/stored_view.hpp>
#include <bantam/data/view.hpp>

#include <cstddef>
#include <vector>

namespace bantam {

/// How a sample is shown: everything about it but its pixels.
struct SamplePlan {
    Index sample = 0;  ///< index among the loader's samples
    int label = -1;    ///< −1: none
    /// Index into the teacher's logits, [image · view]; −1: none.
    Index teacher_view = -1;
    View view;
    ColorTransform colors;

    /// A second picture that is mixed into the first.
    struct Second {
        Index sample = -1;  ///< −1: none
        View view;
        ColorTransform colors;
        Mix mix;
    };
    Second second{};

    bool mixed() const { return second.sample >= 0; }
};

/// Cuts what `plan` shows, [height][width][3] floats of `target`. `pixels_of(sample)` is a stored picture,
/// [stored_size][stored_size][3].
template <class PixelsOf>
void cut_sample(const PixelsOf& pixels_of, Index stored_size, const SamplePlan& plan, Shape target, float* output) {
    cut_view(pixels_of(plan.sample), stored_size, plan.view, target, output, plan.colors);
    const SamplePlan::Second& second = plan.second;
    if (!plan.mixed()) return;
    std::vector<float> other(static_cast<std::size_t>(element_count(target)));
    cut_view(pixels_of(second.sample), stored_size, second.view, target, other.data(), second.colors);
    Index value = 0;
    for (Index row = 0; row < target.height; ++row)
        for (Index column = 0; column < target.width; ++column) {
            if (!second.mix.contains(row, column, target.height, target.width)) {
                value += 3;
                continue;
            }
            for (const Index end = value + 3; value < end; ++value)
                output[value] = second.mix(output[value], other[static_cast<std::size_t>(value)]);
        }
}

}  // namespace bantam
