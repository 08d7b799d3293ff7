// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/host_device.hpp>
#include <bantam/base/index.hpp>

#include <cmath>
#include <span>

namespace bantam {

/// Index of the largest of `classes` logits, one at least; the first one of equals.
template <class Scalar>
BANTAM_HOST_DEVICE constexpr Index most_likely_class(Index classes, const Scalar* logits) {
    Index best = 0;
    for (Index index = 1; index < classes; ++index)
        if (logits[index] > logits[best]) best = index;
    return best;
}
template <class Scalar>
constexpr Index most_likely_class(std::span<const Scalar> logits) {
    return most_likely_class(static_cast<Index>(logits.size()), logits.data());
}

/// log softmax(logits / temperature) of one sample. `logits` and `log_probabilities` are [classes] and may be the same.
/// The largest logit is subtracted first, so no finite float logit overflows.
template <class Scalar>
BANTAM_HOST_DEVICE void log_softmax(double temperature, Index classes, const Scalar* logits,
                                    double* log_probabilities) {
    const auto largest = static_cast<double>(logits[most_likely_class(classes, logits)]);
    double total = 0.0;
    for (Index index = 0; index < classes; ++index) {
        const double shifted = (static_cast<double>(logits[index]) - largest) / temperature;
        log_probabilities[index] = shifted;
        total += std::exp(shifted);
    }
    const double log_total = std::log(total);
    for (Index index = 0; index < classes; ++index) log_probabilities[index] -= log_total;
}

/// KL(p ‖ q) = Σ p · (log p − log q) of one sample, summed over the classes. Both arguments are [classes] log
/// probabilities.
BANTAM_HOST_DEVICE inline double kl_divergence(Index classes, const double* p, const double* q) {
    double total = 0.0;
    for (Index index = 0; index < classes; ++index) {
        const double probability = std::exp(p[index]);
        // A class of probability 0 adds nothing, though the other logarithm may be infinite.
        if (probability > 0.0) total += probability * (p[index] - q[index]);
    }
    return total;
}

}  // namespace bantam
