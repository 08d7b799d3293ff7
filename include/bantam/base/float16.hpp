// SPDX-License-Identifier: MIT
#pragma once

#include <bit>
#include <cstdint>

namespace bantam {

/// IEEE 754's half precision as files store it: 1 sign, 5 exponent and 10 mantissa bits. It is only read.
struct Float16 {
    std::uint16_t bits;

    /// Exact: every half is a float.
    constexpr operator float() const {
        const std::uint32_t sign = (bits & 0x8000U) << 16;
        const std::uint32_t exponent = bits >> 10 & 31U;
        const std::uint32_t mantissa = bits & 1023U;
        if (exponent == 0) {
            const float magnitude = static_cast<float>(mantissa) * 0x1p-24F;
            return sign != 0 ? -magnitude : magnitude;
        }
        const std::uint32_t wide = exponent == 31 ? 255 : exponent + 112;
        return std::bit_cast<float>(sign | wide << 23 | mantissa << 13);
    }
};

}  // namespace bantam
