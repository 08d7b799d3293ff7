// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/base/split_index.hpp>
#include <bantam/cuda/runtime/operation.hpp>
#include <bantam/exec/activation_functions.hpp>
#include <bantam/layers/gate.hpp>

namespace bantam::cuda {

namespace detail {

/// One output of a gate. Its two factors lie `Half` scalars apart.
template <class Act, Index Half, class S>
struct OpenGate {
    const S* input;
    S* output;
    BANTAM_HOST_DEVICE void operator()(Index i) const {
        const SplitIndex<Half> at{i};
        const S* x = input + at.whole * 2 * Half + at.rest;
        output[i] = S(exec::ActivationFunction<Act>::value(Compute<S>(x[0])) * x[Half]);
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
        input_gradient[first] = S(gradient * exec::ActivationFunction<Act>::derivative(x) * input[first + Half]);
        input_gradient[first + Half] = S(gradient * exec::ActivationFunction<Act>::value(x));
    }
};

}  // namespace detail

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
