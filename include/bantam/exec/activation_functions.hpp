// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/host_device.hpp>
#include <bantam/core/sequence.hpp>
#include <bantam/exec/math.hpp>
#include <bantam/layers/activations.hpp>

namespace bantam::exec {

// nvcc warns where a function for host and device calls one for the host alone, as the packets' versions do.
#ifdef __NVCC__
#pragma nv_diagnostic push
#pragma nv_diag_suppress 20011, 20014
#endif

/// How an activation is computed, on every backend:
/// - `value(x)`: f(x), NaN where x is NaN;
/// - `derivative(x)`: f'(x), from the input alone;
/// - `cheap`: whether a kernel may apply the value to sums in registers, many times inline.
///
/// `A` is a scalar or, on the CPU, an Eigen packet. Specialize this for an activation of your own.
template <class Act>
struct ActivationFunction;

/// Used where no activation follows.
template <>
struct ActivationFunction<Identity> {
    static constexpr bool cheap = true;
    template <class A>
    BANTAM_HOST_DEVICE static A value(const A& x) {
        return x;
    }
    template <class A>
    BANTAM_HOST_DEVICE static A derivative(const A&) {
        return Math<A>::constant(1);
    }
};

template <>
struct ActivationFunction<ReLU> {
    static constexpr bool cheap = true;
    template <class A>
    BANTAM_HOST_DEVICE static A value(const A& x) {
        return Math<A>::max(x, 0);
    }
    template <class A>
    BANTAM_HOST_DEVICE static A derivative(const A& x) {
        using M = Math<A>;
        return M::if_greater(x, 0, M::constant(1), M::constant(0));
    }
};

template <>
struct ActivationFunction<ReLU6> {
    static constexpr bool cheap = true;
    template <class A>
    BANTAM_HOST_DEVICE static A value(const A& x) {
        return Math<A>::clamp(x, 0, 6);
    }
    template <class A>
    BANTAM_HOST_DEVICE static A derivative(const A& x) {
        using M = Math<A>;
        return M::if_between(x, 0, 6, M::constant(1), M::constant(0));
    }
};

template <>
struct ActivationFunction<LeakyReLU> {
    static constexpr bool cheap = false;
    template <class A>
    BANTAM_HOST_DEVICE static A value(const A& x) {
        using S = typename Math<A>::Scalar;
        return Math<A>::max(x, A(x * S(LeakyReLU::negative_slope)));
    }
    template <class A>
    BANTAM_HOST_DEVICE static A derivative(const A& x) {
        using M = Math<A>;
        using S = typename M::Scalar;
        return M::if_greater(x, 0, M::constant(1), M::constant(S(LeakyReLU::negative_slope)));
    }
};

template <>
struct ActivationFunction<ELU> {
    static constexpr bool cheap = false;
    template <class A>
    BANTAM_HOST_DEVICE static A value(const A& x) {
        using M = Math<A>;
        using S = typename M::Scalar;
        // The limit keeps eˣ from overflowing where it is not chosen.
        return M::if_greater(x, 0, x, M::exp(M::min(x, 0)) - S(1));
    }
    template <class A>
    BANTAM_HOST_DEVICE static A derivative(const A& x) {
        return Math<A>::exp(Math<A>::min(x, 0));
    }
};

template <>
struct ActivationFunction<Sigmoid> {
    static constexpr bool cheap = false;
    template <class A>
    BANTAM_HOST_DEVICE static A value(const A& x) {
        using S = typename Math<A>::Scalar;
        return S(1) / (S(1) + Math<A>::exp(-x));
    }
    template <class A>
    BANTAM_HOST_DEVICE static A derivative(const A& x) {
        using S = typename Math<A>::Scalar;
        const A y = value(x);
        return y * (S(1) - y);
    }
};

template <>
struct ActivationFunction<Softplus> {
    static constexpr bool cheap = false;
    // max(x, 0) + ln(1 + e^−|x|), which neither overflows nor loses digits.
    template <class A>
    BANTAM_HOST_DEVICE static A value(const A& x) {
        using M = Math<A>;
        const A positive = M::max(x, 0);
        return positive + M::log1p(M::exp(M::min(x, 0) - positive));
    }
    template <class A>
    BANTAM_HOST_DEVICE static A derivative(const A& x) {
        return ActivationFunction<Sigmoid>::value(x);
    }
};

template <>
struct ActivationFunction<HardSigmoid> {
    static constexpr bool cheap = true;
    template <class A>
    BANTAM_HOST_DEVICE static A value(const A& x) {
        using S = typename Math<A>::Scalar;
        return Math<A>::clamp(x + S(3), 0, 6) * S(1.0 / 6);
    }
    template <class A>
    BANTAM_HOST_DEVICE static A derivative(const A& x) {
        using M = Math<A>;
        using S = typename M::Scalar;
        return M::if_between(x, -3, 3, M::constant(S(1.0 / 6)), M::constant(0));
    }
};

template <>
struct ActivationFunction<SiLU> {
    static constexpr bool cheap = false;
    template <class A>
    BANTAM_HOST_DEVICE static A value(const A& x) {
        return x * ActivationFunction<Sigmoid>::value(x);
    }
    template <class A>
    BANTAM_HOST_DEVICE static A derivative(const A& x) {
        using S = typename Math<A>::Scalar;
        const A sigmoid = ActivationFunction<Sigmoid>::value(x);
        return sigmoid * (S(1) + x * (S(1) - sigmoid));
    }
};

template <>
struct ActivationFunction<HardSwish> {
    static constexpr bool cheap = true;
    template <class A>
    BANTAM_HOST_DEVICE static A value(const A& x) {
        return x * ActivationFunction<HardSigmoid>::value(x);
    }
    template <class A>
    BANTAM_HOST_DEVICE static A derivative(const A& x) {
        using M = Math<A>;
        using S = typename M::Scalar;
        const A outside = M::if_greater(x, 0, M::constant(1), M::constant(0));
        return M::if_between(x, -3, 3, (S(2) * x + S(3)) * S(1.0 / 6), outside);
    }
};

template <>
struct ActivationFunction<GELU> {
    static constexpr bool cheap = false;
    template <class A>
    BANTAM_HOST_DEVICE static A value(const A& x) {
        return x * Math<A>::normal_cdf(x);
    }
    template <class A>
    BANTAM_HOST_DEVICE static A derivative(const A& x) {
        using S = typename Math<A>::Scalar;
        return Math<A>::normal_cdf(x) + x * Math<A>::exp(x * x * S(-0.5)) * S(0.39894228040143267794);
    }
};

template <>
struct ActivationFunction<TanhExp> {
    static constexpr bool cheap = false;
    // Above 20, tanh(eˣ) rounds to 1; the limit keeps eˣ from overflowing.
    template <class A>
    BANTAM_HOST_DEVICE static A value(const A& x) {
        using M = Math<A>;
        return x * M::tanh(M::exp(M::min(x, 20)));
    }
    template <class A>
    BANTAM_HOST_DEVICE static A derivative(const A& x) {
        using M = Math<A>;
        using S = typename M::Scalar;
        const A exponential = M::exp(M::min(x, 20));
        const A t = M::tanh(exponential);
        return t + x * exponential * (S(1) - t * t);
    }
};

/// tanh(ln(1 + e)) = n / (n + 2) with e = eˣ and n = e · (e + 2), which loses no digits where e is small.
template <>
struct ActivationFunction<Mish> {
    static constexpr bool cheap = false;
    // Above 20, n / (n + 2) rounds to 1; the limit keeps n from overflowing.
    template <class A>
    BANTAM_HOST_DEVICE static A value(const A& x) {
        using M = Math<A>;
        using S = typename M::Scalar;
        const A e = M::exp(M::min(x, 20));
        const A n = e * (e + S(2));
        return x * (n / (n + S(2)));
    }
    template <class A>
    BANTAM_HOST_DEVICE static A derivative(const A& x) {
        using M = Math<A>;
        using S = typename M::Scalar;
        const A e = M::exp(M::min(x, 20));
        const A n = e * (e + S(2));
        const A d = n + S(2);
        return n / d + x * (S(4) * e * (e + S(1)) / (d * d));
    }
};

#ifdef __NVCC__
#pragma nv_diagnostic pop
#endif

}  // namespace bantam::exec
