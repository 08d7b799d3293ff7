// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/core/shape.hpp>
#include <bantam/cuda/kernels/batch_sums.hpp>
#include <bantam/cuda/kernels/epilogue.hpp>
#include <bantam/cuda/kernels/source.hpp>
#include <bantam/cuda/runtime/operation.hpp>
#include <bantam/exec/concepts.hpp>

namespace bantam::cuda {

// A convolution kernel (PointwiseKernel, DenseKernel, DepthwiseKernel) is an exec::ConvKernel with a member `bias` and
//
// - `forward(pass, weights, source, epilogue)`
// - `backward(pass, weights, source of the output's gradient, source of the input, epilogue of the input's gradient,
//    weight gradient)`
//
// Both return the number of slices of the epilogue's sums, which are at pass.sums as [slice][sum][channel].

/// gradient[c] = Σ over rows of the source's values; uses pass.sums.
template <class S, exec::ColumnSource Source>
void bias_gradient(const Pass<S>& pass, Index rows, const Source& source, Compute<S>* gradient) {
    sum_over_rows(pass, rows, Source::channels, SourceTerm<Source>{source}, pass.sums, gradient);
}

/// A convolution that is not fused: from memory to memory.
template <exec::ConvKernel Kernel_, class S>
struct ConvOperation : OperationSizes {
    using Kernel = Kernel_;
    static constexpr Index in = Kernel::input.channels, out = Kernel::output.channels;
    static constexpr Index scratch_size = Kernel::scratch_size, partial_size = Kernel::partial_size;
    static constexpr Index sum_count = Kernel::bias ? out : 0;

    static void forward(const Pass<S>& pass, const Weights<S>& weights, const S* input, S* output, S*) {
        Kernel::forward(pass, weights.parameters, MemorySource<in, S>{input},
                        optional_bias_epilogue<Kernel::bias, out>(output, weights.parameters + Kernel::weight_count));
    }
    static void backward(const Pass<S>& pass, const Weights<S>& weights, const S* input, const S*,
                         const S* output_gradient, S* input_gradient, Compute<S>* parameter_gradient) {
        const MemorySource<out, S> gradient{output_gradient};
        const MemorySource<in, S> source{input};
        if constexpr (Kernel::bias)
            bias_gradient(pass, pass.count * pixel_count(Kernel::output), gradient,
                          parameter_gradient + Kernel::weight_count);
        if (input_gradient)
            Kernel::backward(pass, weights.parameters, gradient, source, IdentityEpilogue<in, S>{input_gradient},
                             parameter_gradient);
        else
            Kernel::backward(pass, weights.parameters, gradient, source, NullSink<in, S>{}, parameter_gradient);
    }
};

}  // namespace bantam::cuda
