// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/core/sequence.hpp>
#include <bantam/layers/activations.hpp>

namespace bantam::deploy {

/// The value of an activation at one number; the compiler's own names of the C library's functions need no header.
/// The formulas stand in bantam/layers/activations.hpp.
template <class Act>
inline constexpr auto activation_value = nullptr;

template <>
inline constexpr auto activation_value<ReLU> = [](float x) { return x > 0 ? x : 0.0F; };
template <>
inline constexpr auto activation_value<ReLU6> = [](float x) {
    return x > 6 ? 6.0F : x > 0 ? x : 0.0F;
};
template <>
inline constexpr auto activation_value<LeakyReLU> =
    [](float x) { return x > 0 ? x : x * static_cast<float>(LeakyReLU::negative_slope); };
template <>
inline constexpr auto activation_value<Sigmoid> = [](float x) { return 1 / (1 + __builtin_expf(-x)); };
template <>
inline constexpr auto activation_value<HardSigmoid> =
    [](float x) { return activation_value<ReLU6>(x + 3) * static_cast<float>(1.0 / 6); };
template <>
inline constexpr auto activation_value<SiLU> = [](float x) { return x * activation_value<Sigmoid>(x); };
template <>
inline constexpr auto activation_value<HardSwish> = [](float x) { return x * activation_value<HardSigmoid>(x); };
template <>
inline constexpr auto activation_value<GELU> =
    [](float x) { return x * 0.5F * __builtin_erfcf(-x * 0.70710678118654752440F); };
// Past 20, tanh(eˣ) is 1 to the last bit, and eˣ can no longer overflow.
template <>
inline constexpr auto activation_value<TanhExp> =
    [](float x) { return x * __builtin_tanhf(__builtin_expf(x < 20 ? x : 20.0F)); };

/// Activations that let nothing below zero through.
template <class Act>
inline constexpr bool never_negative = false;
template <>
inline constexpr bool never_negative<ReLU> = true;
template <>
inline constexpr bool never_negative<ReLU6> = true;
template <>
inline constexpr bool never_negative<Sigmoid> = true;
template <>
inline constexpr bool never_negative<HardSigmoid> = true;

}  // namespace bantam::deploy
