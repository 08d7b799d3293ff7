// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/bfloat16.hpp>
#include <bantam/base/index.hpp>
#include <bantam/core/shape.hpp>
#include <bantam/cuda/kernels/conv_operation.hpp>
#include <bantam/cuda/kernels/dense_conv.hpp>
#include <bantam/cuda/kernels/epilogue.hpp>
#include <bantam/cuda/kernels/source.hpp>
#include <bantam/cuda/runtime/operation.hpp>
#include <bantam/layers/conv_transpose2d.hpp>

namespace bantam::cuda {

/// By the kernel of the convolution from the output to the input: forward is the gradient of its input, and the
/// gradients are its output and the gradient of its weight.
template <int Out, auto KernelSize, auto Stride, ConvTransposeOptions Options, Shape Input, class S>
struct Operation<ConvTranspose2d<Out, KernelSize, Stride, Options>, Input, S> : OperationSizes {
    using L = ConvTranspose2d<Out, KernelSize, Stride, Options>;
    static constexpr Shape output_shape = L::output_shape(Input);
    using Kernel =
        DenseKernel<Conv2d<static_cast<int>(Input.channels), KernelSize, Stride, L::transposed>, output_shape, S>;
    static constexpr Index channels = Input.channels;
    static constexpr Index scratch_size = Kernel::scratch_size, partial_size = Kernel::partial_size;
    static constexpr Index sum_count = L::bias ? Out : 0;

    static void forward(const Pass<S>& pass, const Weights<S>& weights, const S* input, S* output, S*) {
        Kernel::input_gradient(pass, weights.parameters, MemorySource<channels, S>{input},
                               optional_bias_epilogue<L::bias, Out>(output, weights.parameters + Kernel::weight_count));
    }
    static void backward(const Pass<S>& pass, const Weights<S>& weights, const S* input, const S*,
                         const S* output_gradient, S* input_gradient, Compute<S>* parameter_gradient) {
        const MemorySource<Out, S> gradient{output_gradient};
        if constexpr (L::bias)
            bias_gradient(pass, pass.count * pixel_count(output_shape), gradient,
                          parameter_gradient + Kernel::weight_count);
        Kernel::weight_gradient(pass, MemorySource<channels, S>{input}, gradient, parameter_gradient);
        if (input_gradient)
            Kernel::forward(pass, weights.parameters, gradient, IdentityEpilogue<channels, S>{input_gradient});
    }
};

}  // namespace bantam::cuda
