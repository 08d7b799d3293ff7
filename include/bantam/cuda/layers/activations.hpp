// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/core/sequence.hpp>
#include <bantam/cuda/runtime/operation.hpp>
#include <bantam/cuda/runtime/split_index.hpp>
#include <bantam/layers/activations.hpp>
#include <bantam/layers/gate.hpp>

#include <cmath>

namespace bantam::cuda {

/// Value and derivative of an activation for one scalar, as `cpu::ActivationArithmetic` for arrays.
template <class Act>
struct ActivationArithmetic;

template <class S>
BANTAM_HOST_DEVICE S clamped(S x, S low, S high) {
    return x < low ? low : high < x ? high : x;
}

template <>
struct ActivationArithmetic<Identity> {
    template <class S>
    BANTAM_HOST_DEVICE static S value(S x) {
        return x;
    }
    template <class S>
    BANTAM_HOST_DEVICE static S derivative(S) {
        return S(1);
    }
};

template <>
struct ActivationArithmetic<ReLU> {
    template <class S>
    BANTAM_HOST_DEVICE static S value(S x) {
        return x < S(0) ? S(0) : x;
    }
    template <class S>
    BANTAM_HOST_DEVICE static S derivative(S x) {
        return x > S(0) ? S(1) : S(0);
    }
};

template <>
struct ActivationArithmetic<ReLU6> {
    template <class S>
    BANTAM_HOST_DEVICE static S value(S x) {
        return clamped(x, S(0), S(6));
    }
    template <class S>
    BANTAM_HOST_DEVICE static S derivative(S x) {
        return x > S(0) && x < S(6) ? S(1) : S(0);
    }
};

template <>
struct ActivationArithmetic<LeakyReLU> {
    template <class S>
    BANTAM_HOST_DEVICE static S value(S x) {
        return x < S(0) ? x * S(LeakyReLU::negative_slope) : x;
    }
    template <class S>
    BANTAM_HOST_DEVICE static S derivative(S x) {
        return x > S(0) ? S(1) : S(LeakyReLU::negative_slope);
    }
};

template <>
struct ActivationArithmetic<Sigmoid> {
    template <class S>
    BANTAM_HOST_DEVICE static S value(S x) {
        return S(1) / (S(1) + std::exp(-x));
    }
    template <class S>
    BANTAM_HOST_DEVICE static S derivative(S x) {
        const S y = value(x);
        return y * (S(1) - y);
    }
};

template <>
struct ActivationArithmetic<HardSigmoid> {
    template <class S>
    BANTAM_HOST_DEVICE static S value(S x) {
        return clamped(x + S(3), S(0), S(6)) * S(1.0 / 6);
    }
    template <class S>
    BANTAM_HOST_DEVICE static S derivative(S x) {
        return x > S(-3) && x < S(3) ? S(1.0 / 6) : S(0);
    }
};

template <>
struct ActivationArithmetic<SiLU> {
    template <class S>
    BANTAM_HOST_DEVICE static S value(S x) {
        return x * ActivationArithmetic<Sigmoid>::value(x);
    }
    template <class S>
    BANTAM_HOST_DEVICE static S derivative(S x) {
        const S sigmoid = ActivationArithmetic<Sigmoid>::value(x);
        return sigmoid * (S(1) + x * (S(1) - sigmoid));
    }
};

template <>
struct ActivationArithmetic<HardSwish> {
    template <class S>
    BANTAM_HOST_DEVICE static S value(S x) {
        return x * ActivationArithmetic<HardSigmoid>::value(x);
    }
    template <class S>
    BANTAM_HOST_DEVICE static S derivative(S x) {
        if (x > S(-3) && x < S(3)) return (S(2) * x + S(3)) * S(1.0 / 6);
        return x > S(0) ? S(1) : S(0);
    }
};

template <>
struct ActivationArithmetic<GELU> {
    template <class S>
    BANTAM_HOST_DEVICE static S normal_cdf(S x) {
        return S(0.5) * std::erfc(-x * S(0.70710678118654752440));
    }
    template <class S>
    BANTAM_HOST_DEVICE static S value(S x) {
        return x * normal_cdf(x);
    }
    template <class S>
    BANTAM_HOST_DEVICE static S derivative(S x) {
        return normal_cdf(x) + x * std::exp(x * x * S(-0.5)) * S(0.39894228040143267794);
    }
};

template <>
struct ActivationArithmetic<TanhExp> {
    // Past 20, tanh(eˣ) is 1 to the last bit, and eˣ can no longer overflow.
    template <class S>
    BANTAM_HOST_DEVICE static S value(S x) {
        return x * std::tanh(std::exp(x > S(20) ? S(20) : x));
    }
    template <class S>
    BANTAM_HOST_DEVICE static S derivative(S x) {
        const S exponential = std::exp(x > S(20) ? S(20) : x);
        const S t = std::tanh(exponential);
        return t + x * exponential * (S(1) - t * t);
    }
};

namespace detail {

template <class Act, class S>
struct Activate {
    const S* input;
    S* output;
    BANTAM_HOST_DEVICE void operator()(Index i) const {
        output[i] = S(ActivationArithmetic<Act>::value(Compute<S>(input[i])));
    }
};
template <class Act, class S>
struct ActivateBackward {
    const S *input, *output_gradient;
    S* input_gradient;
    BANTAM_HOST_DEVICE void operator()(Index i) const {
        input_gradient[i] = S(output_gradient[i] * ActivationArithmetic<Act>::derivative(Compute<S>(input[i])));
    }
};

/// One output of a gate, whose two factors lie `Half` scalars apart.
template <class Act, Index Half, class S>
struct OpenGate {
    const S* input;
    S* output;
    BANTAM_HOST_DEVICE void operator()(Index i) const {
        const SplitIndex<Half> at{i};
        const S* x = input + at.whole * 2 * Half + at.rest;
        output[i] = S(ActivationArithmetic<Act>::value(Compute<S>(x[0])) * x[Half]);
    }
};
template <class Act, Index Half, class S>
struct OpenGateBackward {
    const S *input, *output_gradient;
    S* input_gradient;
    BANTAM_HOST_DEVICE void operator()(Index i) const {
        const SplitIndex<Half> at{i};
        const Index first = at.whole * 2 * Half + at.rest;
        const Compute<S> x = input[first], gradient = output_gradient[i];
        input_gradient[first] = S(gradient * ActivationArithmetic<Act>::derivative(x) * input[first + Half]);
        input_gradient[first + Half] = S(gradient * ActivationArithmetic<Act>::value(x));
    }
};

}  // namespace detail

template <ActivationLayer Act, Shape Input, class S>
struct Operation<Act, Input, S> : OperationSizes {
    static void forward(const Pass<S>& pass, const Weights<S>&, const S* input, S* output, S*) {
        for_each_index(pass, pass.count * element_count(Input), detail::Activate<Act, S>{input, output});
    }
    static void backward(const Pass<S>& pass, const Weights<S>&, const S* input, const S*, const S* output_gradient,
                         S* input_gradient, Compute<S>*) {
        if (!input_gradient) return;
        for_each_index(pass, pass.count * element_count(Input),
                       detail::ActivateBackward<Act, S>{input, output_gradient, input_gradient});
    }
};

template <class Act, Shape Input, class S>
struct Operation<Gate<Act>, Input, S> : OperationSizes {
    static constexpr Index half = Input.channels / 2;
    static constexpr Index outputs = element_count(Input) / 2;

    static void forward(const Pass<S>& pass, const Weights<S>&, const S* input, S* output, S*) {
        for_each_index(pass, pass.count * outputs, detail::OpenGate<Act, half, S>{input, output});
    }
    static void backward(const Pass<S>& pass, const Weights<S>&, const S* input, const S*, const S* output_gradient,
                         S* input_gradient, Compute<S>*) {
        if (!input_gradient) return;
        for_each_index(pass, pass.count * outputs,
                       detail::OpenGateBackward<Act, half, S>{input, output_gradient, input_gradient});
    }
};

}  // namespace bantam::cuda
