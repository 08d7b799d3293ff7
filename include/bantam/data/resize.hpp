// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace bantam {

namespace detail {

/// How one axis is resampled: output pixel i is the sum of weight[k] · source[first + k] over its
/// taps, divided by `total`. All weights are whole numbers, so sums are exact in double and the
/// result does not depend on the order of the two axes or of the additions.
struct ResizeAxis {
    struct Output {
        Index first_source;
        std::size_t first_weight;
        std::size_t taps;
    };
    std::vector<Output> outputs;
    std::vector<double> weights;
    double total = 1;
};

inline ResizeAxis resize_axis(Index source, Index target) {
    ResizeAxis axis;
    axis.outputs.reserve(static_cast<std::size_t>(target));
    const auto begin_output = [&](Index first) { axis.outputs.push_back({first, axis.weights.size(), 0}); };
    const auto add_tap = [&](Index weight) {
        axis.weights.push_back(static_cast<double>(weight));
        ++axis.outputs.back().taps;
    };
    if (source >= target) {
        // In units of 1/target of a source pixel, source j covers [j·target, (j+1)·target) and
        // output i covers [i·source, (i+1)·source): the overlap is the weight.
        axis.total = static_cast<double>(source);
        for (Index output = 0; output < target; ++output) {
            const Index begin = output * source;
            const Index end = begin + source;
            begin_output(begin / target);
            for (Index pixel = begin / target; pixel * target < end; ++pixel)
                add_tap(std::min(end, (pixel + 1) * target) - std::max(begin, pixel * target));
        }
    } else {
        // Source coordinate (i + 1/2)·source/target − 1/2, in units of 1/(2·target), clamped.
        const Index unit = 2 * target;
        axis.total = static_cast<double>(unit);
        for (Index output = 0; output < target; ++output) {
            const Index coordinate = std::clamp<Index>((2 * output + 1) * source - target, 0, (source - 1) * unit);
            const Index weight = coordinate % unit;
            begin_output(coordinate / unit);
            add_tap(unit - weight);
            if (weight != 0) add_tap(weight);
        }
    }
    return axis;
}

}  // namespace detail

/// Squashes an RGB picture [height][width][3] to [target_height][target_width][3]. Per axis: exact
/// area averaging when shrinking, bilinear interpolation (align_corners = false) when enlarging;
/// rounded half up. Sums are exact, so every implementation of this definition gives the same bytes.
inline void resize_rgb(const std::uint8_t* source, Index height, Index width, std::uint8_t* target, Index target_height,
                       Index target_width) {
    if (height == target_height && width == target_width) {
        std::copy_n(source, height * width * 3, target);
        return;
    }
    const detail::ResizeAxis rows = detail::resize_axis(height, target_height);
    const detail::ResizeAxis columns = detail::resize_axis(width, target_width);
    const auto row_values = static_cast<std::size_t>(width * 3);
    const double divisor = 2 * rows.total * columns.total;
    const double inverse = 1 / divisor;

    // Rows first: most of the work is then on neighboring values, several at a time.
    std::vector<double> sums(row_values);
    std::vector<double> resampled(static_cast<std::size_t>(target_width * 3));
    for (std::size_t row = 0; row < rows.outputs.size(); ++row, target += resampled.size()) {
        const auto& output = rows.outputs[row];
        std::fill(sums.begin(), sums.end(), 0.0);
        for (std::size_t tap = 0; tap < output.taps; ++tap) {
            const double weight = rows.weights[output.first_weight + tap];
            const std::uint8_t* const pixels =
                source + (output.first_source + static_cast<Index>(tap)) * static_cast<Index>(row_values);
            for (std::size_t value = 0; value < row_values; ++value) sums[value] += weight * pixels[value];
        }
        for (std::size_t column = 0; column < columns.outputs.size(); ++column) {
            const auto& from = columns.outputs[column];
            const double* pixel = sums.data() + from.first_source * 3;
            double red = 0;
            double green = 0;
            double blue = 0;
            for (std::size_t tap = 0; tap < from.taps; ++tap, pixel += 3) {
                const double weight = columns.weights[from.first_weight + tap];
                red += weight * pixel[0];
                green += weight * pixel[1];
                blue += weight * pixel[2];
            }
            resampled[column * 3] = red;
            resampled[column * 3 + 1] = green;
            resampled[column * 3 + 2] = blue;
        }
        for (std::size_t value = 0; value < resampled.size(); ++value) {
            // floor(sum / total + 1/2) in whole numbers: a rounded quotient could miss a tie.
            const double dividend = 2 * resampled[value] + 0.5 * divisor;
            const auto quotient = static_cast<std::int32_t>(dividend * inverse);
            const double rest = dividend - quotient * divisor;
            target[value] = static_cast<std::uint8_t>(quotient + (rest >= divisor ? 1 : 0) - (rest < 0 ? 1 : 0));
        }
    }
}

}  // namespace bantam
