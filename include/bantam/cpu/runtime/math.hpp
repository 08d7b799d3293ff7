// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/cpu/runtime/packet.hpp>
#include <bantam/cpu/runtime/simd.hpp>
#include <bantam/exec/math.hpp>

#include <type_traits>

namespace bantam::exec {

/// The vocabulary for a vector register, as far as cheap activations need it: kernels apply them to sums in registers
/// very often, and packets there would take compilers much longer.
template <class A>
    requires(std::is_same_v<A, cpu::Vector<float>> || std::is_same_v<A, cpu::Vector<double>>)
struct Math<A> {
    using Scalar = std::conditional_t<std::is_same_v<A, cpu::Vector<float>>, float, double>;

    static A constant(Scalar value) { return cpu::broadcast(value); }
    static A max(const A& x, Scalar limit) { return cpu::max<Scalar>(x, constant(limit)); }
    static A min(const A& x, Scalar limit) { return cpu::min<Scalar>(x, constant(limit)); }
    static A clamp(const A& x, Scalar low, Scalar high) { return min(max(x, low), high); }
    static A if_greater(const A& x, Scalar limit, const A& yes, const A& no) { return x > constant(limit) ? yes : no; }
    static A if_between(const A& x, Scalar low, Scalar high, const A& yes, const A& no) {
        const auto between = (x > constant(low)) & (x < constant(high));
        return between ? yes : no;
    }
};

template <class A>
concept EigenPacket = requires {
    typename A::Scalar;
    A::SizeAtCompileTime;
};

/// The vocabulary for a packet. Comparisons use a vector register where the packet fills one: Eigen's own max and min
/// do not promise to keep a NaN, and its select works scalar by scalar.
template <EigenPacket A>
struct Math<A> {
    using Scalar = typename A::Scalar;

    static A constant(Scalar value) { return A::Constant(value); }
    static A max(const A& x, const A& limit) {
        return per_register([](const Vector& a, const Vector& b) { return cpu::max<Scalar>(a, b); }, Math<Scalar>::max,
                            x, limit);
    }
    static A max(const A& x, Scalar limit) { return max(x, constant(limit)); }
    static A min(const A& x, Scalar limit) {
        return per_register([](const Vector& a, const Vector& b) { return cpu::min<Scalar>(a, b); }, Math<Scalar>::min,
                            x, constant(limit));
    }
    static A clamp(const A& x, Scalar low, Scalar high) { return min(max(x, low), high); }
    static A if_greater(const A& x, Scalar limit, const A& yes, const A& no) {
        return per_register(
            [](const Vector& a, const Vector& b, const Vector& c, const Vector& d) -> Vector { return a > b ? c : d; },
            Math<Scalar>::if_greater, x, constant(limit), yes, no);
    }
    static A if_between(const A& x, Scalar low, Scalar high, const A& yes, const A& no) {
        return per_register(
            [](const Vector& a, const Vector& l, const Vector& h, const Vector& c, const Vector& d) -> Vector {
                const auto between = (a > l) & (a < h);
                return between ? c : d;
            },
            Math<Scalar>::if_between, x, constant(low), constant(high), yes, no);
    }
    static A exp(const A& x) { return x.exp(); }
    static A log1p(const A& x) { return x.log1p(); }
    /// Exactly ±1 where it rounds to that. Eigen 3.4's approximation stays below 1 where NEON fuses its products.
    static A tanh(const A& x) {
#ifdef __aarch64__
        constexpr Scalar rounds_to_one = std::is_same_v<Scalar, float> ? 9 : 20;
        return if_greater(x, rounds_to_one, constant(1), if_greater(-x, rounds_to_one, constant(-1), x.tanh()));
#else
        return x.tanh();
#endif
    }
    static A normal_cdf(const A& x) {
        return x.unaryExpr([](Scalar v) { return Math<Scalar>::normal_cdf(v); });
    }

private:
    using Vector = cpu::Vector<Scalar>;

    template <class OnVector, class OnScalar, class... Packets>
    static A per_register(OnVector on_vector, OnScalar on_scalar, const Packets&... packets) {
        A result;
        if constexpr (A::SizeAtCompileTime == cpu::lanes<Scalar>)
            cpu::store<Scalar>(result.data(), on_vector(cpu::load(packets.data())...));
        else
            for (int i = 0; i < A::SizeAtCompileTime; ++i) result[i] = on_scalar(packets[i]...);
        return result;
    }
};

}  // namespace bantam::exec
