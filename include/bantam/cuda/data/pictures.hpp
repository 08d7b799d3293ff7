// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/error.hpp>
#include <bantam/base/index.hpp>
#include <bantam/core/shape.hpp>
#include <bantam/cuda/runtime/execution.hpp>
#include <bantam/data/color.hpp>
#include <bantam/data/sample_plan.hpp>
#include <bantam/data/stored_view.hpp>
#include <bantam/data/view.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <new>
#include <span>
#include <string>
#include <vector>

namespace bantam::cuda {

namespace detail {

/// A view of one picture and the map of its colors.
struct ViewCut {
    Index picture = -1;  // −1: none
    View view;
    float matrix[3][3] = {};  // of the ColorTransform
    float offset[3] = {};

    ViewCut() = default;
    ViewCut(Index which, const View& shown, const ColorTransform& colors) : picture{which}, view{shown} {
        for (std::size_t row = 0; row < 3; ++row) {
            offset[row] = colors.offset[row];
            for (std::size_t column = 0; column < 3; ++column) matrix[row][column] = colors.matrix[row][column];
        }
    }
};

}  // namespace detail

/// What a SamplePlan shows; its samples are pictures of the set.
struct Cut {
    detail::ViewCut first;
    detail::ViewCut second;
    Mix mix;

    Cut() = default;
    Cut(const SamplePlan& plan)
        : first{plan.sample, plan.view, plan.colors},
          second{plan.second.sample, plan.second.view, plan.second.colors},
          mix{plan.second.mix} {}
};

namespace detail {

/// `cut_sample`, one pixel per call: `pixels` [count][height][width][3].
struct CutPixel {
    const std::uint8_t* stored;  // [picture][stored_size][stored_size][3]
    Index stored_size;
    const Cut* cuts;
    const Index* first;  // index of the first cut; null: 0
    Index height, width;
    float* pixels;

    BANTAM_HOST_DEVICE void operator()(Index i) const {
        const Index x = i % width, y = i / width % height;
        const Cut& cut = cuts[i / (height * width) + (first ? *first : 0)];
        float* const pixel = pixels + i * 3;
        cut_pixel(cut.first, y, x, pixel);
        if (cut.second.picture < 0 || !cut.mix.contains(y, x, height, width)) return;
        float second[3];
        cut_pixel(cut.second, y, x, second);
        for (int channel = 0; channel < 3; ++channel) pixel[channel] = cut.mix(pixel[channel], second[channel]);
    }

    BANTAM_HOST_DEVICE void cut_pixel(const ViewCut& cut, Index y, Index x, float* pixel) const {
        const InterpolationPoint row = interpolation_point(cut.view.top, cut.view.height, y, height, stored_size);
        const InterpolationPoint column = interpolation_point(cut.view.left, cut.view.width,
                                                              cut.view.flipped ? width - 1 - x : x, width, stored_size);
        const std::uint8_t* picture = stored + cut.picture * stored_size * stored_size * 3;
        float blended[3];
        for (int channel = 0; channel < 3; ++channel) {
            const auto along = [&](std::int32_t source_row) {
                const std::uint8_t* line = picture + source_row * stored_size * 3 + channel;
                const auto left = static_cast<float>(line[column.first * 3]);
                const auto right = static_cast<float>(line[column.second * 3]);
                return left + (right - left) * column.weight;
            };
            const float upper = along(row.first), lower = along(row.second);
            blended[channel] = upper + (lower - upper) * row.weight;
        }
        // Interpolation weights add to one, so that colors may be mapped after the interpolation.
        for (int to = 0; to < 3; ++to)
            pixel[to] = cut.matrix[to][0] * blended[0] + cut.matrix[to][1] * blended[1] +
                        cut.matrix[to][2] * blended[2] + cut.offset[to];
    }
};

}  // namespace detail

/// Pictures of 8-bit colors in the device's memory.
class PictureSet {
public:
    /// `pictures` are [stored_size][stored_size][3] each. Throws Error where the memory is too small.
    PictureSet(const Execution& execution, std::span<const std::uint8_t* const> pictures, Index stored_size)
        : stored_size_{stored_size} {
        const Index bytes = stored_size * stored_size * 3;
        const auto count = static_cast<Index>(pictures.size());
        try {
            stored_.reserve(count * bytes);
        } catch (const std::bad_alloc&) {
            throw Error(std::to_string(count) + " pictures of " + std::to_string(stored_size) + "x" +
                        std::to_string(stored_size) + " pixels take " + std::to_string((count * bytes >> 20) + 1) +
                        " MiB, more than the device has left; choose a smaller stored size");
        }
        // Pictures of one store are adjacent in memory and are copied together.
        for (Index begin = 0, end = 0; begin < count; begin = end) {
            const std::uint8_t* from = pictures[static_cast<std::size_t>(begin)];
            while (end < count && pictures[static_cast<std::size_t>(end)] == from + (end - begin) * bytes) ++end;
            copy_to_device(execution, from, (end - begin) * bytes, stored_.data() + begin * bytes);
        }
    }

    /// Cuts `count` samples from `cuts[*first]` on (null: from the first) to `target`, as `cut_sample` does:
    /// `pixels` [count][height][width][3]. All pointers are to the device's memory.
    void cut(const Execution& execution, const Cut* cuts, const Index* first, Index count, Shape target,
             float* pixels) const {
        for_each_index(
            execution, count * target.height * target.width,
            detail::CutPixel{stored_.data(), stored_size_, cuts, first, target.height, target.width, pixels});
    }

private:
    Index stored_size_;
    DeviceBuffer<std::uint8_t> stored_;
};

}  // namespace bantam::cuda
