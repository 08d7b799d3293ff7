// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/base/split_index.hpp>
#include <bantam/cuda/kernels/batch_sums.hpp>
#include <bantam/cuda/runtime/operation.hpp>
#include <bantam/layers/prelu.hpp>

namespace bantam::cuda {

template <Shape Input, class S>
struct Operation<PReLU, Input, S> : OperationSizes {
    using ComputeType = Compute<S>;
    static constexpr Index channels = Input.channels;
    static constexpr Index sum_count = channels;

    /// to[i] = from[i], times the slope where the layer's input is not positive: the output, and the input's gradient.
    struct Scale {
        const S *input, *from;
        const ComputeType* weight;
        S* to;
        BANTAM_HOST_DEVICE void operator()(Index i) const {
            const ComputeType value = from[i];
            to[i] = S(ComputeType(input[i]) > ComputeType(0) ? value : value * weight[SplitIndex<channels>{i}.rest]);
        }
    };
    struct WeightTerm {
        const S *input, *output_gradient;
        BANTAM_HOST_DEVICE ComputeType operator()(Index row, Index c) const {
            const ComputeType x = input[row * channels + c], gradient = output_gradient[row * channels + c];
            return x > ComputeType(0) ? ComputeType(0) : gradient * x;
        }
    };

    static void forward(const Pass<S>& pass, const Weights<S>& weights, const S* input, S* output, S*) {
        for_each_index(pass, pass.count * element_count(Input), Scale{input, input, weights.parameters, output});
    }
    static void backward(const Pass<S>& pass, const Weights<S>& weights, const S* input, const S*,
                         const S* output_gradient, S* input_gradient, ComputeType* parameter_gradient) {
        sum_over_rows(pass, pass.count * pixel_count(Input), channels, WeightTerm{input, output_gradient}, pass.sums,
                      parameter_gradient);
        if (input_gradient)
            for_each_index(pass, pass.count * element_count(Input),
                           Scale{input, output_gradient, weights.parameters, input_gradient});
    }
};

}  // namespace bantam::cuda
