// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <limits>
#include <type_traits>

namespace bantam::deploy {

/// Maps, weights and sums in float.
struct Float32 {
    using Weight = float;
    using Constant = float;
    using Sum = float;
    using Signed = float;
    using Unsigned = float;
    using Logit = float;
    /// Outputs that a product computes side by side, and the multiple to which its length is padded.
    static constexpr int output_block = 8;
    static constexpr int length_multiple = 1;
};

/// Maps of 8 bits with one scale each: value = scale · element, without a zero point, unsigned where the layers
/// before let nothing below zero through. Weights are signed, with one scale per output channel. Sums have 32
/// bits. Logits are counts of 1 / `logit_unit`.
struct Int8 {
    using Weight = std::int8_t;
    using Constant = std::int32_t;
    using Sum = std::int32_t;
    using Signed = std::int8_t;
    using Unsigned = std::uint8_t;
    using Logit = std::int32_t;
    static constexpr int output_block = 4;
    static constexpr int length_multiple = 4;
    static constexpr std::int32_t logit_unit = 65536;
};

/// The weights of a network or of a part of it.
template <class P>
struct WeightView {
    const typename P::Weight* weights;
    const typename P::Constant* constants;

    constexpr WeightView at(std::int64_t weight, std::int64_t constant) const {
        return {weights + weight, constants + constant};
    }
};

/// An activation that only limits values, so that a stage applies it while it stores.
enum class Bound { none, relu, relu6 };

// ------------------------------------------------------------------------------------ fixed point
// A factor is mantissa · 2^-shift in 32 bits: a signed mantissa of 24 bits above 8 bits of shift, 1 to 62.

constexpr std::int32_t pack_factor(std::int32_t mantissa, int shift) {
    return static_cast<std::int32_t>((static_cast<std::uint32_t>(mantissa) << 8) | static_cast<std::uint32_t>(shift));
}

/// ⌊value · factor + 1/2⌋, exactly: halves are rounded up.
constexpr std::int64_t scale_by(std::int64_t value, std::int32_t factor) {
    const int shift = factor & 0xff;
    return (value * (factor >> 8) + (std::int64_t{1} << (shift - 1))) >> shift;
}

/// The nearest value that `T` holds.
template <class T>
constexpr T saturate(std::int64_t value) {
    constexpr std::int64_t low = std::numeric_limits<T>::min();
    constexpr std::int64_t high = std::numeric_limits<T>::max();
    return static_cast<T>(value < low ? low : value > high ? high : value);
}

constexpr float limit(float value, Bound bound) {
    if (bound != Bound::none && value < 0) return 0;
    return bound == Bound::relu6 && value > 6 ? 6.0F : value;
}

/// How a stage that sums products stores a sum: bias, scale and bound of one output channel.
template <class P>
struct ChannelEpilogue;

/// constants: bias per channel
template <>
struct ChannelEpilogue<Float32> {
    static constexpr int constants_per_channel = 1;
    template <class Out, Bound bound>
    static Out store(float sum, const float* constants, int channel) {
        return limit(sum + constants[channel], bound);
    }
};

/// constants: bias in units of the sum and factor per channel. An unsigned map's smallest value is 0 and, where
/// the bound is 6, its largest is 6: saturation is the bound.
template <>
struct ChannelEpilogue<Int8> {
    static constexpr int constants_per_channel = 2;
    template <class Out, Bound bound>
    static Out store(std::int32_t sum, const std::int32_t* constants, int channel) {
        static_assert(bound == Bound::none || std::is_unsigned_v<Out>);
        return saturate<Out>(scale_by(sum + constants[2 * channel], constants[2 * channel + 1]));
    }
};

}  // namespace bantam::deploy
