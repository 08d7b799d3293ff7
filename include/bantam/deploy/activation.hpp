// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/layers/activations.hpp>

namespace bantam::deploy {

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
