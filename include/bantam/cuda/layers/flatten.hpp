// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/core/sequence.hpp>
#include <bantam/cuda/runtime/operation.hpp>
#include <bantam/layers/flatten.hpp>

namespace bantam::cuda {

/// Layers whose output is their input, unchanged.
template <Shape Input, class S>
struct CopyOperation : OperationSizes {
    static void forward(const Pass<S>& pass, const Weights<S>&, const S* input, S* output, S*) {
        copy_on_device(*pass.execution, input, pass.count * element_count(Input), output);
    }
    static void backward(const Pass<S>& pass, const Weights<S>&, const S*, const S*, const S* output_gradient,
                         S* input_gradient, Compute<S>*) {
        if (input_gradient)
            copy_on_device(*pass.execution, output_gradient, pass.count * element_count(Input), input_gradient);
    }
};

template <Shape Input, class S>
struct Operation<Identity, Input, S> : CopyOperation<Input, S> {};

template <Shape Input, class S>
struct Operation<Flatten, Input, S> : CopyOperation<Input, S> {};

}  // namespace bantam::cuda
