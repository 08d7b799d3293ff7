// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/host_device.hpp>
#include <bantam/base/index.hpp>
#include <bantam/base/random.hpp>
#include <bantam/data/color.hpp>
#include <bantam/data/view.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>

namespace bantam {

/// All that a teacher was shown of a picture: a view and a change of its colors.
struct StoredView {
    View view;
    ColorFactors color;

    bool operator==(const StoredView&) const = default;
};

/// How a second picture is mixed into a first one: the part of the output within a box (relative units) is
/// (1 − weight) · first + weight · second, the rest is the first. Mixup (Zhang et al., 2018) has the whole output as
/// its box, CutMix (Yun et al., 2019) the weight 1.
struct Mix {
    float weight = 0;
    float top = 0;
    float left = 0;
    float height = 1;
    float width = 1;

    bool operator==(const Mix&) const = default;

    /// Whether the center of pixel (row, column) of an output of rows × columns lies in the box.
    BANTAM_HOST_DEVICE bool contains(Index row, Index column, Index rows, Index columns) const {
        const auto inside = [](float start, float extent, Index pixel, Index pixels) {
            const float center = static_cast<float>(pixel) + 0.5F;
            const auto all = static_cast<float>(pixels);
            return center >= start * all && center < (start + extent) * all;
        };
        return inside(top, height, row, rows) && inside(left, width, column, columns);
    }

    BANTAM_HOST_DEVICE float operator()(float first, float second) const {
        return first * (1 - weight) + second * weight;
    }
};

/// A second picture in a stored view: which image of the logits file it is, how it is shown and how it is mixed in.
struct StoredMix {
    Index image = 0;
    StoredView second;
    Mix mix;
};

/// The ranges of stored views.
struct StoredViewOptions {
    ViewOptions box{};
    ColorJitter color{0.2F, 0.2F, 0.2F};
};

namespace detail {

/// Multiples of 1 / `steps`. Half precision has those up to 1 for 2048 steps, and those up to 2 for 1024.
inline float round_to_steps(float value, float steps) { return std::nearbyint(value * steps) / steps; }

/// A start and an extent that lie in [0, 1] together after rounding, too.
inline void round_range(float& start, float& extent) {
    constexpr float steps = 2048;
    extent = std::max(round_to_steps(extent, steps), 1 / steps);
    start = std::min(round_to_steps(start, steps), 1 - extent);
}

}  // namespace detail

/// `random_view` and `random_color_factors`, rounded to numbers that half precision has, so that a file holds exactly
/// what the teacher was shown.
inline StoredView random_stored_view(Random& random, const StoredViewOptions& options) {
    StoredView stored;
    stored.view = random_view(random, options.box);
    detail::round_range(stored.view.top, stored.view.height);
    detail::round_range(stored.view.left, stored.view.width);
    stored.color = random_color_factors(random, options.color);
    for (float* factor : {&stored.color.brightness, &stored.color.contrast, &stored.color.saturation})
        *factor = detail::round_to_steps(*factor, 1024);
    return stored;
}

/// A mixup with a uniform weight or a CutMix with a square box of uniform area, equally likely, rounded as stored views
/// are.
inline Mix random_mix(Random& random) {
    Mix mix;
    const bool cut = random.uniform() < 0.5;
    const auto share = static_cast<float>(random.uniform());
    if (cut) {
        mix.weight = 1;
        mix.height = mix.width = std::sqrt(share);
        mix.top = static_cast<float>(random.uniform()) * (1 - mix.height);
        mix.left = static_cast<float>(random.uniform()) * (1 - mix.width);
        detail::round_range(mix.top, mix.height);
        detail::round_range(mix.left, mix.width);
    } else {
        constexpr float steps = 2048;
        mix.weight = std::clamp(detail::round_to_steps(share, steps), 1 / steps, 1 - 1 / steps);
    }
    return mix;
}

// The numbers of a logits file.

using ViewValues = std::array<float, 8>;
using MixValues = std::array<float, 13>;

constexpr ViewValues values_of(const StoredView& stored) {
    const auto& [view, color] = stored;
    return {view.top,         view.left,      view.height,     view.width, view.flipped ? 1.0F : 0.0F,
            color.brightness, color.contrast, color.saturation};
}
constexpr StoredView stored_view_of(const ViewValues& v) {
    return {{v[0], v[1], v[2], v[3], v[4] != 0}, {v[5], v[6], v[7]}};
}
constexpr MixValues values_of(const StoredView& second, const Mix& mix) {
    const ViewValues v = values_of(second);
    return {v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7], mix.weight, mix.top, mix.left, mix.height, mix.width};
}
constexpr StoredMix stored_mix_of(Index image, const MixValues& v) {
    return {image, stored_view_of({v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7]}), {v[8], v[9], v[10], v[11], v[12]}};
}

}  // namespace bantam
