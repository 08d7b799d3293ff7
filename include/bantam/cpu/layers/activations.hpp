// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/core/sequence.hpp>
#include <bantam/cpu/runtime/operation.hpp>
#include <bantam/cpu/runtime/packet.hpp>
#include <bantam/layers/activations.hpp>
#include <bantam/layers/gate.hpp>

#include <cmath>
#include <limits>
#include <type_traits>
#include <utility>

namespace bantam::cpu {

/// Value and derivative of an activation on an Eigen array `A`. Where `takes_few_instructions<Act>`, the
/// value of a vector in registers, too.
template <class Act>
struct ActivationArithmetic;

/// Activations that a kernel may apply to sums in registers, many times in line.
template <class Act>
inline constexpr bool takes_few_instructions =
    std::is_same_v<Act, Identity> || std::is_same_v<Act, ReLU> || std::is_same_v<Act, ReLU6> ||
    std::is_same_v<Act, HardSigmoid> || std::is_same_v<Act, HardSwish>;

// The same words for an Eigen array and a vector in registers.
template <class A>
struct ScalarOf {
    using type = typename A::Scalar;
};
template <VectorRegister A>
struct ScalarOf<A> {
    using type = std::remove_cvref_t<decltype(std::declval<A&>()[0])>;
};
template <class A>
inline A not_below(const A& x, typename ScalarOf<A>::type low) {
    if constexpr (VectorRegister<A>)
        return at_least<typename ScalarOf<A>::type>(x, broadcast(low));
    else
        return x.max(low);
}
template <class A>
inline A not_above(const A& x, typename ScalarOf<A>::type high) {
    if constexpr (VectorRegister<A>)
        return at_most<typename ScalarOf<A>::type>(x, broadcast(high));
    else
        return x.min(high);
}

template <class S>
inline constexpr S infinity = std::numeric_limits<S>::infinity();

/// What stands where no activation follows.
template <>
struct ActivationArithmetic<Identity> {
    template <class A>
    static A value(const A& x) {
        return x;
    }
    template <class A>
    static A derivative(const A&) {
        return A::Ones();
    }
};

template <>
struct ActivationArithmetic<ReLU> {
    template <class A>
    static A value(const A& x) {
        return not_below(x, 0);
    }
    template <class A>
    static A derivative(const A& x) {
        using S = typename A::Scalar;
        return where_between<S, A::SizeAtCompileTime>(x, S(0), infinity<S>, A::Ones(), A::Zero());
    }
};

template <>
struct ActivationArithmetic<ReLU6> {
    template <class A>
    static A value(const A& x) {
        return not_above(not_below(x, 0), 6);
    }
    template <class A>
    static A derivative(const A& x) {
        using S = typename A::Scalar;
        return where_between<S, A::SizeAtCompileTime>(x, S(0), S(6), A::Ones(), A::Zero());
    }
};

template <>
struct ActivationArithmetic<LeakyReLU> {
    template <class A>
    static A value(const A& x) {
        return x.max(x * typename A::Scalar(LeakyReLU::negative_slope));
    }
    template <class A>
    static A derivative(const A& x) {
        using S = typename A::Scalar;
        return where_between<S, A::SizeAtCompileTime>(x, S(0), infinity<S>, A::Ones(),
                                                      A::Constant(S(LeakyReLU::negative_slope)));
    }
};

template <>
struct ActivationArithmetic<Sigmoid> {
    template <class A>
    static A value(const A& x) {
        using S = typename A::Scalar;
        return (S(1) + (-x).exp()).inverse();
    }
    template <class A>
    static A derivative(const A& x) {
        const A y = value(x);
        return y * (typename A::Scalar(1) - y);
    }
};

template <>
struct ActivationArithmetic<HardSigmoid> {
    template <class A>
    static A value(const A& x) {
        using S = typename ScalarOf<A>::type;
        return not_above(not_below(A(x + S(3)), 0), 6) * S(1.0 / 6);
    }
    template <class A>
    static A derivative(const A& x) {
        using S = typename A::Scalar;
        return where_between<S, A::SizeAtCompileTime>(x, S(-3), S(3), A::Constant(S(1.0 / 6)), A::Zero());
    }
};

template <>
struct ActivationArithmetic<SiLU> {
    template <class A>
    static A value(const A& x) {
        return x * ActivationArithmetic<Sigmoid>::value(x);
    }
    template <class A>
    static A derivative(const A& x) {
        using S = typename A::Scalar;
        const A sigmoid = ActivationArithmetic<Sigmoid>::value(x);
        return sigmoid * (S(1) + x * (S(1) - sigmoid));
    }
};

template <>
struct ActivationArithmetic<HardSwish> {
    template <class A>
    static A value(const A& x) {
        return x * ActivationArithmetic<HardSigmoid>::value(x);
    }
    template <class A>
    static A derivative(const A& x) {
        using S = typename A::Scalar;
        const A outside = where_between<S, A::SizeAtCompileTime>(x, S(0), infinity<S>, A::Ones(), A::Zero());
        return where_between<S, A::SizeAtCompileTime>(x, S(-3), S(3), (S(2) * x + S(3)) * S(1.0 / 6), outside);
    }
};

template <>
struct ActivationArithmetic<GELU> {
    template <class A>
    static A normal_cdf(const A& x) {
        using S = typename A::Scalar;
        return x.unaryExpr([](S v) { return S(0.5) * std::erfc(-v * S(0.70710678118654752440)); });
    }
    template <class A>
    static A value(const A& x) {
        return x * normal_cdf(x);
    }
    template <class A>
    static A derivative(const A& x) {
        using S = typename A::Scalar;
        return normal_cdf(x) + x * (x.square() * S(-0.5)).exp() * S(0.39894228040143267794);
    }
};

template <>
struct ActivationArithmetic<TanhExp> {
    // Past 20, tanh(eˣ) is 1 to the last bit, and eˣ can no longer overflow.
    template <class A>
    static A value(const A& x) {
        return x * x.min(typename A::Scalar(20)).exp().tanh();
    }
    template <class A>
    static A derivative(const A& x) {
        using S = typename A::Scalar;
        const A exponential = x.min(S(20)).exp();
        const A t = exponential.tanh();
        return t + x * exponential * (S(1) - t.square());
    }
};

/// An activation that stands alone.
template <ActivationLayer Act, Shape Input, class S>
struct Operation<Act, Input, S> : OperationSizes {
    using Arithmetic = ActivationArithmetic<Act>;

    /// Sample by sample: where a vector ends, and so the last bit of an exponential, must not depend on
    /// the neighbors in the batch.
    template <class Body>
    static void for_each_element(const Pass<S>& pass, Body&& body) {
        for_each_chunk(pass, [&](Chunk chunk, S*) {
            for (Index n = chunk.first; n < chunk.first + chunk.count; ++n)
                for_each_packet<S, element_count(Input)>(
                    [&]<int Width>(Index i) { body.template operator()<Width>(n * element_count(Input) + i); });
        });
    }

    static void forward(const Pass<S>& pass, const Weights<S>&, const S* input, S* output, S*) {
        for_each_element(pass, [&]<int Width>(Index i) {
            store_packet<S, Width>(output + i, Arithmetic::value(load_packet<S, Width>(input + i)));
        });
    }

    static void backward(const Pass<S>& pass, const Weights<S>&, const S* input, const S*, const S* output_gradient,
                         S* input_gradient, S*) {
        if (!input_gradient) return;
        for_each_element(pass, [&]<int Width>(Index i) {
            const Packet<S, Width> slope = Arithmetic::derivative(load_packet<S, Width>(input + i));
            store_packet<S, Width>(input_gradient + i, slope * load_packet<S, Width>(output_gradient + i));
        });
    }
};

template <class Act, Shape Input, class S>
struct Operation<Gate<Act>, Input, S> : OperationSizes {
    using Arithmetic = ActivationArithmetic<Act>;
    static constexpr Index half = Input.channels / 2;

    static void forward(const Pass<S>& pass, const Weights<S>&, const S* input, S* output, S*) {
        for_each_chunk(pass, [&](Chunk chunk, S*) {
            const Index begin = chunk.first * pixel_count(Input);
            for (Index row = begin; row < begin + chunk.count * pixel_count(Input); ++row) {
                const S* in = input + row * 2 * half;
                for_each_packet<S, half>([&]<int Width>(Index c) {
                    store_packet<S, Width>(output + row * half + c, Arithmetic::value(load_packet<S, Width>(in + c)) *
                                                                        load_packet<S, Width>(in + half + c));
                });
            }
        });
    }

    static void backward(const Pass<S>& pass, const Weights<S>&, const S* input, const S*, const S* output_gradient,
                         S* input_gradient, S*) {
        if (!input_gradient) return;
        for_each_chunk(pass, [&](Chunk chunk, S*) {
            const Index begin = chunk.first * pixel_count(Input);
            for (Index row = begin; row < begin + chunk.count * pixel_count(Input); ++row) {
                const S* in = input + row * 2 * half;
                S* to = input_gradient + row * 2 * half;
                for_each_packet<S, half>([&]<int Width>(Index c) {
                    const Packet<S, Width> gradient = load_packet<S, Width>(output_gradient + row * half + c);
                    const Packet<S, Width> x = load_packet<S, Width>(in + c);
                    store_packet<S, Width>(to + c,
                                           gradient * Arithmetic::derivative(x) * load_packet<S, Width>(in + half + c));
                    store_packet<S, Width>(to + half + c, gradient * Arithmetic::value(x));
                });
            }
        });
    }
};

}  // namespace bantam::cpu
