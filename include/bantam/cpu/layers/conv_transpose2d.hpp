// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/core/shape.hpp>
#include <bantam/cpu/kernels/dense_conv.hpp>
#include <bantam/cpu/kernels/epilogue.hpp>
#include <bantam/cpu/kernels/pointwise_conv.hpp>
#include <bantam/cpu/kernels/source.hpp>
#include <bantam/cpu/runtime/operation.hpp>
#include <bantam/layers/conv_transpose2d.hpp>

#include <algorithm>

namespace bantam::cpu {

/// By the kernel of the convolution from the output to the input: forward is the gradient of its input, and the
/// gradients are its output and the gradient of its weight.
template <int Out, auto KernelSize, auto Stride, ConvTransposeOptions Options, Shape Input, class S>
struct Operation<ConvTranspose2d<Out, KernelSize, Stride, Options>, Input, S> : OperationSizes {
    using L = ConvTranspose2d<Out, KernelSize, Stride, Options>;
    static constexpr Shape output_shape = L::output_shape(Input);
    using Kernel =
        DenseKernel<Conv2d<static_cast<int>(Input.channels), KernelSize, Stride, L::transposed>, output_shape, S>;
    static_assert(Kernel::output == Input);
    using InputSource = MemorySource<Input.channels, S>;
    using GradientSource = MemorySource<Out, S>;

    static constexpr Index packed_size = Kernel::packed_size;
    static constexpr Index scratch_size = Kernel::scratch_size;
    static constexpr Index partial_size = Kernel::weight_count + (L::bias ? Out : 0);

    /// Stores rows, with the bias added.
    struct OutputEpilogue : MemoryEpilogue<Out, S> {
        const S* bias;

        void store(Index first, Index count, const S* rows) const {
            MemoryEpilogue<Out, S>::store(first, count, rows);
            if constexpr (L::bias) add_bias(count, Out, bias, this->output(first));
        }
    };

    static void prepare(const S* parameters, S* packed) { Kernel::prepare(parameters, packed); }

    static void forward(const Pass<S>& pass, const Weights<S>& weights, const S* input, S* output, S*) {
        const OutputEpilogue epilogue{{output}, weights.parameters + Kernel::weight_count};
        for_each_chunk(pass, [&](Chunk chunk, S* scratch) {
            Kernel::backward_chunk(chunk, weights, NullSource{}, InputSource{input}, epilogue, static_cast<S*>(nullptr),
                                   scratch);
        });
    }

    static void backward(const Pass<S>& pass, const Weights<S>& weights, const S* input, const S*,
                         const S* output_gradient, S* input_gradient, S* parameter_gradient) {
        for_each_chunk(pass, [&](Chunk chunk, S* scratch) {
            S* const partial = pass.partials + chunk.index * partial_size;
            std::fill(partial, partial + partial_size, S{0});
            Kernel::backward_chunk(chunk, weights, GradientSource{output_gradient}, InputSource{input},
                                   NullSink<Out, S>{}, partial, scratch);
            if constexpr (L::bias) {
                constexpr Index pixels = pixel_count(output_shape);
                add_row_sums<S>(chunk.count * pixels, Out, output_gradient + chunk.first * pixels * Out,
                                partial + Kernel::weight_count);
            }
            if (input_gradient)
                Kernel::forward_chunk(chunk, weights, GradientSource{output_gradient},
                                      MemoryEpilogue<Input.channels, S>{input_gradient}, scratch);
        });
        Kernel::reduce_gradient(pass, parameter_gradient, partial_size);
    }
};

}  // namespace bantam::cpu
