// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/host_device.hpp>

// The compiler's own names of the C library's functions need no header, so that deployed networks include none. nvcc
// knows these functions on the device by their names in std alone.
#ifdef __CUDACC__
#include <cmath>
#define BANTAM_MATH(name, x) std::name(x)
#else
#define BANTAM_MATH(name, x) (sizeof(x) == sizeof(float) ? A(__builtin_##name##f(float(x))) : A(__builtin_##name(x)))
#endif

namespace bantam::exec {

/// The words that activation functions use besides + − · /, shared by scalars, Eigen packets and vector registers. All
/// work per lane. This is the version for scalars, on host and device; cpu/runtime/math.hpp has those for packets and
/// registers.
///
/// max, min and clamp return NaN where x is NaN, on every compiler and instruction set.
template <class A>
struct Math {
    using Scalar = A;

    BANTAM_HOST_DEVICE static A constant(Scalar value) { return value; }
    BANTAM_HOST_DEVICE static A max(A x, A limit) { return limit > x ? limit : x; }
    BANTAM_HOST_DEVICE static A min(A x, A limit) { return limit < x ? limit : x; }
    BANTAM_HOST_DEVICE static A clamp(A x, A low, A high) { return min(max(x, low), high); }
    /// `yes` where x > limit, else `no`.
    BANTAM_HOST_DEVICE static A if_greater(A x, A limit, A yes, A no) { return x > limit ? yes : no; }
    /// `yes` where low < x < high, else `no`.
    BANTAM_HOST_DEVICE static A if_between(A x, A low, A high, A yes, A no) { return x > low && x < high ? yes : no; }
    BANTAM_HOST_DEVICE static A exp(A x) { return BANTAM_MATH(exp, x); }
    /// ln(1 + x)
    BANTAM_HOST_DEVICE static A log1p(A x) { return BANTAM_MATH(log1p, x); }
    BANTAM_HOST_DEVICE static A tanh(A x) { return BANTAM_MATH(tanh, x); }
    /// Φ(x), the standard normal distribution function.
    BANTAM_HOST_DEVICE static A normal_cdf(A x) {
        return A(0.5) * BANTAM_MATH(erfc, A(-x * A(0.70710678118654752440)));
    }
};

}  // namespace bantam::exec

#undef BANTAM_MATH
