// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

namespace bantam::exec {

// Every layer of a network draws from its own stream of random numbers. The number of the stream is the path to the
// layer, written in base 64. A step of the path is one of
//
//     index + 1               to a child with index < 62: a digit from 1 to 62
//     63, 0, high, low        to a child with a larger index: high and low are the digits of index − 62
//     63                      to the shortcut of a residual; the step after it never begins with 0
//
// Steps can be told apart while the digits are read from the left, and none begins with 0. So two different paths are
// two different numbers, as long as the number holds all digits of a path, which chains assert.

inline constexpr int max_stream_digits = 10;
inline constexpr std::size_t short_steps = 62;
inline constexpr std::size_t max_children = short_steps + 64 * 64;

/// Digits of a step to child `index`.
constexpr int step_digits(std::size_t index) { return index < short_steps ? 1 : 4; }

/// The stream of child `index` of a chain, or of path `index` of a composite.
constexpr std::uint64_t child_stream(std::uint64_t parent, std::size_t index) {
    if (index < short_steps) return parent * 64 + index + 1;
    return (parent * 64 + 63) * (64 * 64 * 64) + (index - short_steps);
}

/// The stream of the shortcut of a residual. The layers of the body are children of the residual itself.
constexpr std::uint64_t shortcut_stream(std::uint64_t parent) { return parent * 64 + 63; }

/// `pass` with another stream.
template <class Pass>
Pass with_stream(const Pass& pass, std::uint64_t stream) {
    Pass result = pass;
    result.stream = stream;
    return result;
}

}  // namespace bantam::exec
