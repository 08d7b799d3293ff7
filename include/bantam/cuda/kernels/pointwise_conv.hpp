// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/core/shape.hpp>
#include <bantam/cuda/kernels/conv_operation.hpp>
#include <bantam/cuda/kernels/gemm.hpp>
#include <bantam/cuda/kernels/implicit_gemm.hpp>
#include <bantam/cuda/kernels/pointwise_backward.hpp>
#include <bantam/cuda/kernels/weight_gradient.hpp>
#include <bantam/cuda/runtime/operation.hpp>
#include <bantam/exec/concepts.hpp>

#include <type_traits>

namespace bantam::cuda {

/// Y[rows×Out] = X[rows×In] · Wᵀ at every position, with any source and epilogue.
template <Shape Input, Index Out, bool WithBias, class S>
struct PointwiseKernel {
    using ComputeType = Compute<S>;
    static constexpr Shape input = Input, output{Input.height, Input.width, Out};
    static constexpr bool bias = WithBias;
    static constexpr int in = static_cast<int>(Input.channels), out = static_cast<int>(Out);
    static constexpr Index weight_count = Index{in} * out;
    static constexpr Index scratch_size = 0;
    static constexpr Index partial_size = weight_gradient_partial_size(out, 1, in);

    template <exec::ColumnSource Source, exec::ColumnEpilogue Epilogue>
    static Index forward(const Pass<S>& pass, const ComputeType* weights, const Source& source,
                         const Epilogue& epilogue) {
        return implicit_gemm<out>(pass, pass.count * pixel_count(Input), PointwiseOperand<Source>{source},
                                  WeightOperand<ComputeType, true>{weights, in}, epilogue);
    }
    template <exec::ColumnSource Gradient, exec::ColumnSource Source, exec::ColumnEpilogue Epilogue>
    static Index backward(const Pass<S>& pass, const ComputeType* weights, const Gradient& output_gradient,
                          const Source& source, const Epilogue& epilogue, ComputeType* weight_gradient) {
        const Index rows = pass.count * pixel_count(Input);
        if constexpr (!is_null_sink<Epilogue> && std::is_same_v<ComputeType, float>) {
            using T = std::conditional_t<std::is_same_v<S, Bfloat16>, Bfloat16, Tf32>;
            using Combined = TensorCorePointwiseBackward<T, Gradient, Source, Epilogue, out, in>;
            if constexpr (Combined::fit)
                if (std::is_same_v<S, Bfloat16> || pass.execution->allows_tf32())
                    return pointwise_backward<Combined>(pass, rows, weights, output_gradient, source, epilogue,
                                                        weight_gradient);
        }
        weight_gradient_gemm<out>(pass, rows, output_gradient, PointwiseOperand<Source>{source}, weight_gradient);
        if constexpr (is_null_sink<Epilogue>)
            return 0;
        else
            return implicit_gemm<in>(pass, rows, PointwiseOperand<Gradient>{output_gradient},
                                     WeightOperand<ComputeType, false>{weights, in}, epilogue);
    }
};

/// Y[rows×Out] = X[rows×In] · Wᵀ + b from memory to memory: pointwise convolution and linear layers. On maps of several
/// positions, products without a bias are cuBLAS's, unless several ranks compute the batch: its bits depend on the
/// number of rows.
template <Shape Input, Index Out, bool WithBias, class S>
struct PointwiseOperation : OperationSizes {
    using Kernel = PointwiseKernel<Input, Out, WithBias, S>;
    static constexpr Index in = Input.channels, weight_count = Kernel::weight_count;
    static constexpr Index scratch_size = rounded_weights_size<S>(weight_count);
    static constexpr Index partial_size = Kernel::partial_size;
    static constexpr Index sum_count = WithBias ? Out : 0;

    static bool by_kernel(const Pass<S>& pass) { return pixel_count(Input) == 1 || pass.ranks; }

    static void forward(const Pass<S>& pass, const Weights<S>& weights, const S* input, S* output, S*) {
        if (WithBias || by_kernel(pass)) {
            Kernel::forward(pass, weights.parameters, MemorySource<in, S>{input},
                            optional_bias_epilogue<WithBias, Out>(output, weights.parameters + weight_count));
        } else if constexpr (!WithBias && pixel_count(Input) > 1) {
            const S* rounded = rounded_weights(pass, weight_count, weights.parameters);
            multiply<S>(pass, pass.count * pixel_count(Input), Out, in, {input, in}, {rounded, in, Transposed::yes},
                        output, Out);
        }
    }
    static void backward(const Pass<S>& pass, const Weights<S>& weights, const S* input, const S*,
                         const S* output_gradient, S* input_gradient, Compute<S>* parameter_gradient) {
        const Index rows = pass.count * pixel_count(Input);
        const MemorySource<Out, S> gradient{output_gradient};
        if constexpr (WithBias) bias_gradient(pass, rows, gradient, parameter_gradient + weight_count);
        if (by_kernel(pass)) {
            const auto run = [&](const auto& epilogue) {
                Kernel::backward(pass, weights.parameters, gradient, MemorySource<in, S>{input}, epilogue,
                                 parameter_gradient);
            };
            if (input_gradient)
                run(IdentityEpilogue<in, S>{input_gradient});
            else
                run(NullSink<in, S>{});
        } else if constexpr (pixel_count(Input) > 1) {
            multiply<S>(pass, Out, in, rows, {output_gradient, Out, Transposed::yes}, {input, in}, parameter_gradient,
                        in);
            if (!input_gradient) return;
            const S* rounded = rounded_weights(pass, weight_count, weights.parameters);
            multiply<S>(pass, rows, in, Out, {output_gradient, Out}, {rounded, in}, input_gradient, in);
        }
    }
};

}  // namespace bantam::cuda
