// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/exec/activation_functions.hpp>

#include <string_view>

/// max(x, 0)²
struct SquaredReLU : bantam::Activation {
    static constexpr std::string_view name = "SquaredReLU";
};

template <>
struct bantam::exec::ActivationFunction<SquaredReLU> {
    static constexpr bool cheap = true;
    template <class A>
    BANTAM_HOST_DEVICE static A value(const A& x) {
        const A positive = Math<A>::max(x, 0);
        return positive * positive;
    }
    template <class A>
    BANTAM_HOST_DEVICE static A derivative(const A& x) {
        using Scalar = typename Math<A>::Scalar;
        return Math<A>::max(x, 0) * Scalar(2);
    }
};
