// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/cuda/runtime/operation.hpp>
#include <bantam/exec/activation_functions.hpp>
#include <bantam/layers/activations.hpp>

namespace bantam::cuda {

namespace detail {

template <class Act, class S>
struct Activate {
    const S* input;
    S* output;
    BANTAM_HOST_DEVICE void operator()(Index i) const {
        output[i] = S(exec::ActivationFunction<Act>::value(Compute<S>(input[i])));
    }
};
template <class Act, class S>
struct ActivateBackward {
    const S *input, *output_gradient;
    S* input_gradient;
    BANTAM_HOST_DEVICE void operator()(Index i) const {
        input_gradient[i] = S(output_gradient[i] * exec::ActivationFunction<Act>::derivative(Compute<S>(input[i])));
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

}  // namespace bantam::cuda
