// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/host_device.hpp>

#include <cstdint>

namespace bantam {

/// The upper half of a float: its range with 8 bits of precision. For memory only; arithmetic is done in float.
struct Bfloat16 {
    std::uint16_t bits;

    Bfloat16() = default;

    /// The nearest value, of two that are as near the one whose last bit is 0. What is not a number stays so.
    BANTAM_HOST_DEVICE constexpr explicit Bfloat16(float value) : bits{} {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
        // GPUs since Ampere do it in one instruction.
        if (!__builtin_is_constant_evaluated()) {
            asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(value));
            return;
        }
#endif
        const auto wide = __builtin_bit_cast(std::uint32_t, value);
        // The bits that say so may all lie in the lower half.
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
struct ArithmeticOf {
    using type = S;
};
template <>
struct ArithmeticOf<Bfloat16> {
    using type = float;
};

}  // namespace detail

/// What is computed in where activations are kept as `S`; weights, statistics and sums are kept in it, too.
template <class S>
using Compute = typename detail::ArithmeticOf<S>::type;

}  // namespace bantam
