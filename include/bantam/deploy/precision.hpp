// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <limits>
#include <type_traits>

namespace bantam::deploy {

/// Maps, weights and sums in float. `Patch` is what the inputs of one output are gathered in.
struct Float32 {
    using Weight = float;
    using Constant = float;
    using Sum = float;
    using Patch = float;
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
    using Patch = std::int16_t;
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
// A factor is mantissa · 2^-shift in 32 bits: a signed mantissa of 24 bits above 8 bits of shift, 1 to 54.

constexpr std::int32_t pack_factor(std::int32_t mantissa, int shift) {
    return static_cast<std::int32_t>((static_cast<std::uint32_t>(mantissa) << 8) | static_cast<std::uint32_t>(shift));
}

/// ⌊value · factor + 1/2⌋, exactly: halves are rounded up.
constexpr std::int64_t scale_by(std::int64_t value, std::int32_t factor) {
    const int shift = factor & 0xff;
    return (value * (factor >> 8) + (std::int64_t{1} << (shift - 1))) >> shift;
}

/// The nearest value that `T` holds.
template <class T, class Integer>
constexpr T saturate(Integer value) {
#if defined(__ARM_FEATURE_SAT)
    if constexpr (sizeof(T) == 1 && sizeof(Integer) == 4)
        if (!__builtin_is_constant_evaluated()) {
            std::int32_t result;
            if constexpr (std::is_unsigned_v<T>)
                asm("usat %0, #8, %1" : "=r"(result) : "r"(value));
            else
                asm("ssat %0, #8, %1" : "=r"(result) : "r"(value));
            return static_cast<T>(result);
        }
#endif
    constexpr Integer low = std::numeric_limits<T>::min();
    constexpr Integer high = std::numeric_limits<T>::max();
    return static_cast<T>(value < low ? low : value > high ? high : value);
}

/// saturate(scale_by(value, factor)). From a shift of 25 on, which all factors below 1/4 have, the half that rounds
/// lies in the upper word of value · mantissa · 2⁸, and the lower word decides nothing: one product of two words.
template <class T>
constexpr T scale_to(std::int32_t value, std::int32_t factor) {
    const int shift = factor & 0xff;
    if (shift < 25 || std::is_same_v<T, std::int32_t>) [[unlikely]]
        return saturate<T>(scale_by(value, factor));
    const std::int64_t product = std::int64_t{value} * (factor & ~0xff);
    return saturate<T>(((static_cast<std::int32_t>(product >> 32) >> (shift - 25)) + 1) >> 1);
}

constexpr float limit(float value, Bound bound) {
    if (bound != Bound::none && value < 0) return 0;
    return bound == Bound::relu6 && value > 6 ? 6.0F : value;
}

/// How a stage that sums products stores a sum: bias, scale and bound of one output channel, whose constants are given.
template <class P>
struct ChannelEpilogue;

/// constants: bias per channel
template <>
struct ChannelEpilogue<Float32> {
    static constexpr int constants_per_channel = 1;
    template <class Out, Bound bound>
    static Out store(float sum, const float* constants) {
        return limit(sum + constants[0], bound);
    }
};

/// constants: bias in units of the sum and factor per channel. An unsigned map's smallest value is 0 and, where
/// the bound is 6, its largest is 6: saturation is the bound.
template <>
struct ChannelEpilogue<Int8> {
    static constexpr int constants_per_channel = 2;
    template <class Out, Bound bound>
    static Out store(std::int32_t sum, const std::int32_t* constants) {
        static_assert(bound == Bound::none || std::is_unsigned_v<Out>);
        return scale_to<Out>(sum + constants[0], constants[1]);
    }
};

}  // namespace bantam::deploy
