// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/core/random.hpp>
#include <bantam/core/shape.hpp>
#include <bantam/data/colour.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace bantam {

/// A box of a picture in relative units (the whole picture is 0, 0, 1, 1), perhaps mirrored.
struct View {
    float top = 0;
    float left = 0;
    float height = 1;
    float width = 1;
    bool flipped = false;

    bool operator==(const View&) const = default;
};

constexpr View whole_view() { return {}; }

/// What `random_view` draws from: the box's area as a part of the picture, its width by its height.
struct ViewOptions {
    float min_area = 0.35F;
    float max_area = 1;
    float min_aspect = 3.0F / 4.0F;
    float max_aspect = 4.0F / 3.0F;
    float flip_probability = 0.5F;
};

/// A random box: area uniform, aspect uniform in its logarithm, then a place uniform among those
/// where the box fits (the "random resized crop" of Szegedy et al., 2015). A box that does not
/// fit is drawn again; after ten misses it is the whole picture.
inline View random_view(Random& random, const ViewOptions& options = {}) {
    View view;
    for (int attempt = 0; attempt < 10; ++attempt) {
        const double area = random.uniform(static_cast<double>(options.min_area),
                                           static_cast<double>(options.max_area));
        const double aspect =
            std::exp(random.uniform(std::log(static_cast<double>(options.min_aspect)),
                                    std::log(static_cast<double>(options.max_aspect))));
        const double height = std::sqrt(area / aspect);
        const double width = std::sqrt(area * aspect);
        if (height > 1 || width > 1) continue;
        view.height = static_cast<float>(height);
        view.width = static_cast<float>(width);
        view.top = static_cast<float>(random.uniform() * (1 - height));
        view.left = static_cast<float>(random.uniform() * (1 - width));
        break;
    }
    view.flipped = random.uniform() < static_cast<double>(options.flip_probability);
    return view;
}

namespace detail {

/// Output pixel i lies between source pixels first[i] and second[i], `weight[i]` towards the second.
struct InterpolationAxis {
    std::vector<std::int32_t> first;
    std::vector<std::int32_t> second;
    std::vector<float> weight;
};

inline InterpolationAxis interpolation_axis(float start, float extent, std::int64_t outputs,
                                            std::int64_t stored_size, bool mirrored) {
    const auto count = static_cast<std::size_t>(outputs);
    InterpolationAxis axis{std::vector<std::int32_t>(count), std::vector<std::int32_t>(count),
                           std::vector<float>(count)};
    const auto stored = static_cast<double>(stored_size);
    const double step = static_cast<double>(extent) / static_cast<double>(outputs);
    for (std::size_t output = 0; output < count; ++output) {
        const double centre = static_cast<double>(output) + 0.5;
        const double coordinate = std::clamp(
            (static_cast<double>(start) + centre * step) * stored - 0.5, 0.0, stored - 1);
        const auto first = static_cast<std::int32_t>(coordinate);
        const std::size_t place = mirrored ? count - 1 - output : output;
        axis.first[place] = first;
        axis.second[place] = std::min(first + 1, static_cast<std::int32_t>(stored_size - 1));
        axis.weight[place] = static_cast<float>(coordinate - static_cast<double>(first));
    }
    return axis;
}

}  // namespace detail

/// Cuts `view` out of a stored RGB picture [stored_size][stored_size][3] and resizes it bilinearly
/// to `target` (3 channels): output pixel i lies at source coordinate
/// (top + (i + 1/2) · height / target) · stored_size − 1/2, clamped to the picture (PyTorch's
/// interpolate with align_corners = false, antialias = false); a flip mirrors the output's columns.
/// `colours` maps bytes 0 … 255 to what the network expects, e.g.
/// compose(byte_colours(), normalise(normalisation)). Writes target.height · target.width · 3 floats.
inline void cut_view(const std::uint8_t* stored, std::int64_t stored_size, const View& view,
                     Shape target, float* output, const ColourTransform& colours) {
    const detail::InterpolationAxis rows =
        detail::interpolation_axis(view.top, view.height, target.height, stored_size, false);
    const detail::InterpolationAxis columns = detail::interpolation_axis(
        view.left, view.width, target.width, stored_size, view.flipped);
    const auto width = static_cast<std::size_t>(target.width);
    const auto stored_values = static_cast<std::size_t>(stored_size * 3);
    const std::size_t row_values = width * 3;

    // Pixels are moved four floats at a time: rows have room for one more value at their end.
    std::vector<float> scratch(stored_values + 4 + 2 * (row_values + 4) + 2 * row_values);
    float* const source = scratch.data();
    float* upper = source + stored_values + 4;
    float* lower = upper + row_values + 4;
    float* const scale = lower + row_values + 4;
    float* const offset = scale + row_values;
    const bool diagonal = colours.is_diagonal();
    for (std::size_t value = 0; value < row_values; ++value) {
        scale[value] = diagonal ? colours.matrix[value % 3][value % 3] : 1.0F;
        offset[value] = diagonal ? colours.offset[value % 3] : 0.0F;
    }

    const auto resample_columns = [&](std::int32_t row, float* resampled) {
        const std::uint8_t* const bytes = stored + static_cast<std::size_t>(row) * stored_values;
        if (diagonal) {
            for (std::size_t value = 0; value < stored_values; ++value)
                source[value] = static_cast<float>(bytes[value]);
        } else {
            // Interpolation weights add to one, so colours may be mapped before it.
            const auto& matrix = colours.matrix;
            for (std::size_t value = 0; value < stored_values; value += 3) {
                const auto red = static_cast<float>(bytes[value]);
                const auto green = static_cast<float>(bytes[value + 1]);
                const auto blue = static_cast<float>(bytes[value + 2]);
                for (std::size_t channel = 0; channel < 3; ++channel)
                    source[value + channel] = matrix[channel][0] * red + matrix[channel][1] * green +
                                              matrix[channel][2] * blue + colours.offset[channel];
            }
        }
        for (std::size_t column = 0; column < width; ++column) {
            const float* const first = source + columns.first[column] * 3;
            const float* const second = source + columns.second[column] * 3;
            const float weight = columns.weight[column];
            float mixed[4];
            for (std::size_t lane = 0; lane < 4; ++lane)
                mixed[lane] = first[lane] + (second[lane] - first[lane]) * weight;
            for (std::size_t lane = 0; lane < 4; ++lane) resampled[column * 3 + lane] = mixed[lane];
        }
    };

    std::int32_t upper_row = -1;
    std::int32_t lower_row = -1;
    for (std::size_t row = 0; row < static_cast<std::size_t>(target.height); ++row) {
        if (rows.first[row] != upper_row) {
            if (rows.first[row] == lower_row) {
                std::swap(upper, lower);
                std::swap(upper_row, lower_row);
            } else {
                upper_row = rows.first[row];
                resample_columns(upper_row, upper);
            }
        }
        if (rows.second[row] != lower_row) {
            lower_row = rows.second[row];
            resample_columns(lower_row, lower);
        }
        const float weight = rows.weight[row];
        float* const output_row = output + row * row_values;
        for (std::size_t value = 0; value < row_values; ++value)
            output_row[value] =
                (upper[value] + (lower[value] - upper[value]) * weight) * scale[value] +
                offset[value];
    }
}

}  // namespace bantam
