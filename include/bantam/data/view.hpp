// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/host_device.hpp>
#include <bantam/base/index.hpp>
#include <bantam/base/random.hpp>
#include <bantam/core/shape.hpp>
#include <bantam/data/color.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

namespace bantam {

/// A box of a picture in relative units (the whole picture is 0, 0, 1, 1), mirrored where `flipped`.
struct View {
    float top = 0;
    float left = 0;
    float height = 1;
    float width = 1;
    bool flipped = false;

    bool operator==(const View&) const = default;
};

constexpr View whole_view() { return {}; }

/// The most views of `test_time_views`.
inline constexpr int max_test_time_views = 12;

/// The first `count` views whose logits are averaged at test time: the whole picture, then the middle seven eighths,
/// then seven eighths at each corner, each as it is and mirrored.
inline std::vector<View> test_time_views(int count) {
    constexpr float side = 0.875F;
    constexpr float rest = 1 - side;
    std::vector<View> views;
    for (const View& view : {whole_view(), View{rest / 2, rest / 2, side, side}, View{0, 0, side, side},
                             View{0, rest, side, side}, View{rest, 0, side, side}, View{rest, rest, side, side}})
        for (const bool flipped : {false, true})
            if (std::ssize(views) < count) views.push_back({view.top, view.left, view.height, view.width, flipped});
    return views;
}

/// The ranges of `random_view`: the box's area relative to the picture's, and its aspect (width / height).
struct ViewOptions {
    float min_area = 0.35F;
    float max_area = 1;
    float min_aspect = 3.0F / 4.0F;
    float max_aspect = 4.0F / 3.0F;
    float flip_probability = 0.5F;  ///< where flips are random, not alternating
};

/// A random box: area uniform, aspect uniform in its logarithm, then a place uniform among those
/// where the box fits (the "random resized crop" of Szegedy et al., 2015). A box that does not
/// fit is drawn again; after ten misses it is the whole picture.
inline View random_view(Random& random, const ViewOptions& options = {}) {
    View view;
    for (int attempt = 0; attempt < 10; ++attempt) {
        const double area =
            random.uniform(static_cast<double>(options.min_area), static_cast<double>(options.max_area));
        const double aspect = std::exp(random.uniform(std::log(static_cast<double>(options.min_aspect)),
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

/// The two source pixels between which an output pixel lies; `weight` is that of the second.
struct InterpolationPoint {
    std::int32_t first;
    std::int32_t second;
    float weight;
};

/// Output pixel i of `outputs` lies at source coordinate (start + (i + 1/2) · extent / outputs) ·
/// stored_size − 1/2, clamped to the picture.
BANTAM_HOST_DEVICE inline InterpolationPoint interpolation_point(float start, float extent, Index output, Index outputs,
                                                                 Index stored_size) {
    const auto stored = static_cast<double>(stored_size);
    const double step = static_cast<double>(extent) / static_cast<double>(outputs);
    const double center = static_cast<double>(output) + 0.5;
    const double unclamped = (static_cast<double>(start) + center * step) * stored - 0.5;
    const double coordinate = unclamped < 0.0 ? 0.0 : unclamped > stored - 1 ? stored - 1 : unclamped;
    const auto first = static_cast<std::int32_t>(coordinate);
    const auto last = static_cast<std::int32_t>(stored_size - 1);
    return {first, first < last ? first + 1 : last, static_cast<float>(coordinate - static_cast<double>(first))};
}

namespace detail {

// Red, green, blue and an unused lane: one register on every machine with SIMD (GCC and Clang).
typedef float Float4 __attribute__((vector_size(16)));

inline Float4 load_float4(const float* from) {
    Float4 vector;
    std::memcpy(&vector, from, sizeof vector);
    return vector;
}
inline void store_float4(float* to, const Float4& vector) { std::memcpy(to, &vector, sizeof vector); }

/// The interpolation points of one axis, by output pixel.
struct InterpolationAxis {
    std::vector<std::int32_t> first;
    std::vector<std::int32_t> second;
    std::vector<float> weight;
};

inline InterpolationAxis interpolation_axis(float start, float extent, Index outputs, Index stored_size,
                                            bool mirrored) {
    const auto count = static_cast<std::size_t>(outputs);
    InterpolationAxis axis{std::vector<std::int32_t>(count), std::vector<std::int32_t>(count),
                           std::vector<float>(count)};
    for (std::size_t output = 0; output < count; ++output) {
        const InterpolationPoint point =
            interpolation_point(start, extent, static_cast<Index>(output), outputs, stored_size);
        const std::size_t place = mirrored ? count - 1 - output : output;
        axis.first[place] = point.first;
        axis.second[place] = point.second;
        axis.weight[place] = point.weight;
    }
    return axis;
}

}  // namespace detail

/// Cuts `view` out of a stored RGB picture [stored_size][stored_size][3] and resizes it bilinearly
/// to `target` (3 channels): output pixel i lies at source coordinate
/// (top + (i + 1/2) · height / target) · stored_size − 1/2, clamped to the picture (PyTorch's
/// interpolate with align_corners = false, antialias = false); a flip mirrors the output's columns.
/// `colors` maps bytes 0 … 255 to what the network expects, e.g.
/// compose(byte_colors(), normalize(normalization)). Writes target.height · target.width · 3 floats.
inline void cut_view(const std::uint8_t* stored, Index stored_size, const View& view, Shape target, float* output,
                     const ColorTransform& colors) {
    const detail::InterpolationAxis rows =
        detail::interpolation_axis(view.top, view.height, target.height, stored_size, false);
    const detail::InterpolationAxis columns =
        detail::interpolation_axis(view.left, view.width, target.width, stored_size, view.flipped);
    const auto width = static_cast<std::size_t>(target.width);
    const auto stored_width = static_cast<std::size_t>(stored_size);
    const std::size_t row_values = width * 3;

    // A pixel is stored as four floats, so a row of packed pixels needs space for one more value.
    const auto [low, high] = std::minmax(columns.first.front(), columns.first.back());
    const auto first_column = static_cast<std::size_t>(low);
    const std::size_t end_column = std::min(static_cast<std::size_t>(high) + 2, stored_width);
    std::vector<float> source(stored_width * 4);
    std::vector<float> scratch(2 * (row_values + 1));
    float* upper = scratch.data();
    float* lower = upper + row_values + 1;
    // What each byte of each channel contributes to a mapped color.
    std::array<std::array<detail::Float4, 256>, 3> contributions;
    for (std::size_t channel = 0; channel < 3; ++channel) {
        const auto& matrix = colors.matrix;
        const detail::Float4 slope{matrix[0][channel], matrix[1][channel], matrix[2][channel], 0};
        detail::Float4 start{};
        if (channel == 0) start = detail::Float4{colors.offset[0], colors.offset[1], colors.offset[2], 0};
        for (std::size_t byte = 0; byte < 256; ++byte)
            contributions[channel][byte] = slope * static_cast<float>(byte) + start;
    }

    const auto resample_columns = [&](std::int32_t row, float* resampled) {
        const std::uint8_t* const bytes = stored + static_cast<std::size_t>(row) * stored_width * 3;
        // Interpolation weights add to one, so that colors may be mapped before the interpolation.
        for (std::size_t column = first_column; column < end_column; ++column)
            detail::store_float4(source.data() + column * 4, contributions[0][bytes[column * 3]] +
                                                                 contributions[1][bytes[column * 3 + 1]] +
                                                                 contributions[2][bytes[column * 3 + 2]]);
        for (std::size_t column = 0; column < width; ++column) {
            const detail::Float4 first =
                detail::load_float4(source.data() + 4 * static_cast<std::size_t>(columns.first[column]));
            const detail::Float4 second =
                detail::load_float4(source.data() + 4 * static_cast<std::size_t>(columns.second[column]));
            detail::store_float4(resampled + column * 3, first + (second - first) * columns.weight[column]);
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
            output_row[value] = upper[value] + (lower[value] - upper[value]) * weight;
    }
}

}  // namespace bantam
