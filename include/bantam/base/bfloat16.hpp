// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/host_device.hpp>

#include <cstdint>

namespace bantam {

/// The upper half of a float: the same range with 8 bits of precision. A storage type; arithmetic is done in float.
struct Bfloat16 {
    std::uint16_t bits;

    Bfloat16() = default;

    /// Rounds to nearest, ties to even. A NaN stays a NaN.
    BANTAM_HOST_DEVICE constexpr explicit Bfloat16(float value) : bits{} {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
        // One instruction on GPUs since Ampere.
        if (!__builtin_is_constant_evaluated()) {
            asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(value));
            return;
        }
#endif
        const auto wide = __builtin_bit_cast(std::uint32_t, value);
        // Set a mantissa bit: those of a NaN may all lie in the half that is cut off.
        if (value != value)
            bits = static_cast<std::uint16_t>(wide >> 16 | 0x40);
        else
            bits = static_cast<std::uint16_t>((wide + 0x7fff + (wide >> 16 & 1)) >> 16);
    }

    BANTAM_HOST_DEVICE constexpr operator float() const {
        return __builtin_bit_cast(float, static_cast<std::uint32_t>(bits) << 16);
    }
};

namespace detail {

template <class S>
struct ComputeType {
    using type = S;
};
template <>
struct ComputeType<Bfloat16> {
    using type = float;
};

}  // namespace detail

/// The type of arithmetic, weights, statistics and sums where maps are stored as `S`.
template <class S>
using Compute = typename detail::ComputeType<S>::type;

}  // namespace bantam
