// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/host_device.hpp>

#include <cstdint>

namespace bantam {

/// IEEE 754's half precision: 1 sign, 5 exponent and 10 mantissa bits. A storage type; arithmetic is done in float.
struct Float16 {
    std::uint16_t bits;

    Float16() = default;

    /// Rounds to nearest, ties to even. What is too large becomes infinite, a NaN stays a NaN.
    BANTAM_HOST_DEVICE constexpr explicit Float16(float value) : bits{} {
        const auto wide = __builtin_bit_cast(std::uint32_t, value);
        const auto sign = static_cast<std::uint16_t>(wide >> 16 & 0x8000U);
        const std::uint32_t magnitude = wide & 0x7fff'ffffU;
        std::uint32_t half = 0;
        if (magnitude > 0x7f80'0000U) {
            half = 0x7e00;  // NaN
        } else if (magnitude >= 0x4780'0000U) {
            half = 0x7c00;  // 2^16 and above
        } else if (magnitude >= 0x3880'0000U) {
            // A carry out of the mantissa raises the exponent, up to infinity.
            half = (magnitude - 0x3800'0000U + 0xfffU + (magnitude >> 13 & 1U)) >> 13;
        } else {
            // Below 2^-14 halves are multiples of 2^-24. Adding 1/2, whose last bit that is, rounds to one.
            const float shifted = __builtin_bit_cast(float, magnitude) + 0.5F;
            half = __builtin_bit_cast(std::uint32_t, shifted) - 0x3f00'0000U;
        }
        bits = static_cast<std::uint16_t>(sign | half);
    }

    /// Exact: every half is a float.
    BANTAM_HOST_DEVICE constexpr operator float() const {
        const std::uint32_t sign = (bits & 0x8000U) << 16;
        const std::uint32_t exponent = bits >> 10 & 31U;
        const std::uint32_t mantissa = bits & 1023U;
        if (exponent == 0) {
            const float magnitude = static_cast<float>(mantissa) * 0x1p-24F;
            return sign != 0 ? -magnitude : magnitude;
        }
        const std::uint32_t wide = exponent == 31 ? 255 : exponent + 112;
        return __builtin_bit_cast(float, sign | wide << 23 | mantissa << 13);
    }
};

}  // namespace bantam
