// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/error.hpp>
#include <bantam/base/host_device.hpp>
#include <bantam/base/index.hpp>
#include <bantam/base/parallel_for.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <span>
#include <type_traits>
#include <vector>

namespace bantam {

/// Euclidean norm of the whole gradient, in double. Fixed chunks are summed separately and their sums
/// are added in order, so that the bits are the same for any thread count. Call it as gradient_norm<float>(buffer).
template <class Scalar>
double gradient_norm(std::span<const std::type_identity_t<Scalar>> gradient, int threads = 1) {
    constexpr std::size_t chunk = 16384;
    constexpr std::size_t lanes = 8;
    const auto chunks = static_cast<Index>((gradient.size() + chunk - 1) / chunk);
    std::vector<double> sums(static_cast<std::size_t>(chunks));
    // Below a quarter of a million elements the sum takes less time than waking a thread.
    parallel_for(chunks, chunks > 16 ? threads : 1, [&](Index index, int) {
        const std::size_t begin = static_cast<std::size_t>(index) * chunk;
        const std::size_t end = std::min(begin + chunk, gradient.size());
        // Separate lanes let the compiler vectorize without reordering a sum.
        std::array<double, lanes> partial{};
        std::size_t position = begin;
        for (; position + lanes <= end; position += lanes) {
            for (std::size_t lane = 0; lane < lanes; ++lane) {
                const auto value = static_cast<double>(gradient[position + lane]);
                partial[lane] += value * value;
            }
        }
        for (std::size_t lane = 0; position < end; ++position, ++lane) {
            const auto value = static_cast<double>(gradient[position]);
            partial[lane] += value * value;
        }
        double sum = 0.0;
        for (const double value : partial) sum += value;
        sums[static_cast<std::size_t>(index)] = sum;
    });
    double total = 0.0;
    for (const double value : sums) total += value;
    return std::sqrt(total);
}

/// The factor that shortens a gradient of length `norm` to `clip_norm`, 1 for a shorter one; the rule of
/// torch.nn.utils.clip_grad_norm_. A `clip_norm` of 0 turns clipping off. `norm` is finite.
BANTAM_HOST_DEVICE constexpr double clip_factor(double norm, double clip_norm) {
    const double length = norm + 1e-6;
    return clip_norm > 0.0 && clip_norm < length ? clip_norm / length : 1.0;
}

/// `clip_factor`; throws Error where the norm is not finite, which no factor can repair.
inline double clip_scale(double norm, double clip_norm) {
    if (!std::isfinite(norm)) {
        throw Error(
            "gradient norm is not finite: training has diverged; lower the learning rate or the "
            "clip norm, or warm up longer");
    }
    return clip_factor(norm, clip_norm);
}

}  // namespace bantam
