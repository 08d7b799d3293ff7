// SPDX-License-Identifier: MIT
#pragma once

#include "docs/layers/learned_scale.hpp"

#include <bantam/cuda/kernels/batch_sums.hpp>
#include <bantam/cuda/runtime/operation.hpp>

template <bantam::Shape Input, class S>
struct bantam::cuda::Operation<LearnedScale, Input, S> : OperationSizes {
    static constexpr Index channels = Input.channels;
    static constexpr Index partial_size = channels;

    /// to[i] = scale[channel] · from[i]: the output from the input, and the input's gradient from the output's.
    struct Scale {
        const S* from;
        const Compute<S>* scale;
        S* to;
        BANTAM_HOST_DEVICE void operator()(Index i) const { to[i] = S(from[i] * scale[i % channels]); }
    };
    /// One term of the scale's gradient.
    struct Product {
        const S *input, *output_gradient;
        BANTAM_HOST_DEVICE Compute<S> operator()(Index row, Index c) const {
            return output_gradient[row * channels + c] * input[row * channels + c];
        }
    };

    static void forward(const Pass<S>& pass, const Weights<S>& weights, const S* input, S* output, S* /*saved*/) {
        for_each_index(pass, pass.count * element_count(Input), Scale{input, weights.parameters, output});
    }

    static void backward(const Pass<S>& pass, const Weights<S>& weights, const S* input, S* /*saved*/,
                         const S* output_gradient, S* input_gradient, Compute<S>* parameter_gradient) {
        // Slices of the rows are summed apart and added in a fixed order: the same bits on every run.
        sum_over_rows(pass, pass.count * pixel_count(Input), channels, Product{input, output_gradient}, pass.partials,
                      parameter_gradient);
        if (input_gradient)
            for_each_index(pass, pass.count * element_count(Input),
                           Scale{output_gradient, weights.parameters, input_gradient});
    }
};
