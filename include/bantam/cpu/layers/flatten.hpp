// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/core/sequence.hpp>
#include <bantam/cpu/runtime/operation.hpp>
#include <bantam/layers/flatten.hpp>

#include <algorithm>

namespace bantam::cpu {

/// Layers whose output is equal to their input in memory.
template <Shape Input, class S>
struct CopyOperation : OperationSizes {
    static void copy(const Pass<S>& pass, const S* from, S* to) {
        std::copy(from, from + pass.count * element_count(Input), to);
    }
    static void forward(const Pass<S>& pass, const Weights<S>&, const S* input, S* output, S*) {
        copy(pass, input, output);
    }
    static void backward(const Pass<S>& pass, const Weights<S>&, const S*, const S*, const S* output_gradient,
                         S* input_gradient, S*) {
        if (input_gradient) copy(pass, output_gradient, input_gradient);
    }
};

template <Shape Input, class S>
struct Operation<Identity, Input, S> : CopyOperation<Input, S> {};

template <Shape Input, class S>
struct Operation<Flatten, Input, S> : CopyOperation<Input, S> {};

}  // namespace bantam::cpu
