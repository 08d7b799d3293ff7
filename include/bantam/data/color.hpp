// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/random.hpp>

#include <array>
#include <cstddef>

namespace bantam {

/// An affine map of colors: out[row] = Σ matrix[row][column] · rgb[column] + offset[row].
struct ColorTransform {
    std::array<std::array<float, 3>, 3> matrix{{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}};
    std::array<float, 3> offset{0, 0, 0};
};

/// The transform that applies `first`, then `second`.
constexpr ColorTransform compose(const ColorTransform& first, const ColorTransform& second) {
    ColorTransform both;
    for (std::size_t row = 0; row < 3; ++row) {
        both.offset[row] = second.offset[row];
        for (std::size_t inner = 0; inner < 3; ++inner)
            both.offset[row] += second.matrix[row][inner] * first.offset[inner];
        for (std::size_t column = 0; column < 3; ++column) {
            both.matrix[row][column] = 0;
            for (std::size_t inner = 0; inner < 3; ++inner)
                both.matrix[row][column] += second.matrix[row][inner] * first.matrix[inner][column];
        }
    }
    return both;
}

/// Mean and standard deviation per channel of colors in [0, 1]; the defaults are ImageNet's.
struct Normalization {
    std::array<float, 3> mean{0.485F, 0.456F, 0.406F};
    std::array<float, 3> deviation{0.229F, 0.224F, 0.225F};

    bool operator==(const Normalization&) const = default;
};

/// Maps bytes 0 … 255 to colors in [0, 1].
constexpr ColorTransform byte_colors() {
    constexpr float scale = 1.0F / 255.0F;
    return {{{{scale, 0, 0}, {0, scale, 0}, {0, 0, scale}}}, {0, 0, 0}};
}

/// Maps colors in [0, 1] to (color − mean) / deviation.
constexpr ColorTransform normalize(const Normalization& normalization) {
    ColorTransform transform;
    for (std::size_t channel = 0; channel < 3; ++channel) {
        transform.matrix[channel][channel] = 1.0F / normalization.deviation[channel];
        transform.offset[channel] = -normalization.mean[channel] / normalization.deviation[channel];
    }
    return transform;
}

/// How far each property may move: its factor is drawn from [1 − x, 1 + x]. All zero: no jitter.
struct ColorJitter {
    float brightness = 0;
    float contrast = 0;
    float saturation = 0;

    constexpr bool enabled() const { return brightness != 0 || contrast != 0 || saturation != 0; }
};

/// By how much brightness, contrast and saturation are multiplied; 1 leaves one as it is.
struct ColorFactors {
    float brightness = 1;
    float contrast = 1;
    float saturation = 1;

    bool operator==(const ColorFactors&) const = default;
};

/// Factors within the ranges of `jitter`.
constexpr ColorFactors random_color_factors(Random& random, const ColorJitter& jitter) {
    const auto factor = [&](float range) {
        return static_cast<float>(random.uniform(1.0 - static_cast<double>(range), 1.0 + static_cast<double>(range)));
    };
    ColorFactors factors;
    factors.brightness = factor(jitter.brightness);
    factors.contrast = factor(jitter.contrast);
    factors.saturation = factor(jitter.saturation);
    return factors;
}

/// A change of brightness (about black), contrast (about mid-gray) and saturation (about the pixel's luma, ITU-R
/// BT.601), as one map of colors in [0, 1]. Colors are not clamped, which is what lets the three and the normalization
/// be a single matrix.
constexpr ColorTransform change_colors(const ColorFactors& factors) {
    const auto [brightness, contrast, saturation] = factors;
    constexpr std::array<float, 3> luma{0.299F, 0.587F, 0.114F};
    ColorTransform transform;
    for (std::size_t row = 0; row < 3; ++row) {
        for (std::size_t column = 0; column < 3; ++column)
            transform.matrix[row][column] =
                brightness * contrast * ((row == column ? saturation : 0.0F) + (1 - saturation) * luma[column]);
        transform.offset[row] = 0.5F * (1 - contrast);
    }
    return transform;
}

/// Maps bytes to what a network expects, with a change of colors and a further one in between.
constexpr ColorTransform network_colors(const ColorFactors& factors, const Normalization& normalization,
                                        const ColorTransform& further = {}) {
    return compose(compose(compose(byte_colors(), change_colors(factors)), further), normalize(normalization));
}

/// A random change of colors within the ranges of `jitter`.
constexpr ColorTransform random_color(Random& random, const ColorJitter& jitter) {
    return change_colors(random_color_factors(random, jitter));
}

}  // namespace bantam
