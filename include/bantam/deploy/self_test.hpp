// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/core/network.hpp>
#include <bantam/deploy/classifier.hpp>
#include <bantam/deploy/line_classifier.hpp>
#include <bantam/deploy/precision.hpp>

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace bantam::deploy {

/// A byte of a picture of shallow waves that takes no memory: what exported weights are tested with.
constexpr std::uint8_t test_picture_byte(int y, int x, int color) {
    const int wave = 3 * y + 5 * x * (color + 1) + ((y * x) >> (3 + color));
    const int folded = wave & 0x1ff;
    return static_cast<std::uint8_t>(folded < 256 ? folded : 511 - folded);
}

/// Line `y` of the test picture.
template <class Net>
void test_picture_line(int y, std::uint8_t* line) {
    for (int x = 0; x < static_cast<int>(input_shape<Net>.width); ++x)
        for (int c = 0; c < static_cast<int>(input_shape<Net>.channels); ++c) *line++ = test_picture_byte(y, x, c);
}

/// Classifies the test picture.
template <class Net, class P>
const typename P::Logit* test_logits(LineClassifier<Net, P>& classifier) {
    std::uint8_t line[static_cast<std::size_t>(input_shape<Net>.width * input_shape<Net>.channels)];
    for (int y = 0; y < static_cast<int>(input_shape<Net>.height); ++y) {
        test_picture_line<Net>(y, line);
        classifier.push_line(line);
    }
    return classifier.logits();
}

/// The same layer by layer; `picture` has memory for one.
template <class Net, class P>
const typename P::Logit* test_logits(Classifier<Net, P>& classifier, std::uint8_t* picture) {
    constexpr int line = static_cast<int>(input_shape<Net>.width * input_shape<Net>.channels);
    for (int y = 0; y < static_cast<int>(input_shape<Net>.height); ++y) test_picture_line<Net>(y, picture + y * line);
    classifier.classify(picture);
    return classifier.logits();
}

/// Whether logits are those that were exported: to the bit in int8, to 1e-3 of the largest in float, where compilers
/// and C libraries differ.
template <class Logit>
bool logits_match(const Logit* found, const Logit* expected, Index count) {
    float largest = 1;
    for (Index i = 0; i < count; ++i)
        if (static_cast<float>(expected[i]) > largest) largest = static_cast<float>(expected[i]);
    for (Index i = 0; i < count; ++i) {
        if constexpr (std::is_same_v<Logit, float>) {
            const float difference = found[i] - expected[i];
            if (!(difference < 1e-3F * largest && -difference < 1e-3F * largest)) return false;
        } else if (found[i] != expected[i]) {
            return false;
        }
    }
    return true;
}

}  // namespace bantam::deploy
