// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/cuda/hooked_operation.hpp>
#include <bantam/cuda/matrix_product.hpp>
#include <bantam/cuda/operation.hpp>
#include <bantam/cuda/pointwise_back.hpp>
#include <bantam/cuda/row_product.hpp>
#include <bantam/cuda/weight_product.hpp>

#include <cstdint>
#include <type_traits>

namespace bantam::cuda {

/// Y[rows×Out] = X[rows×In] · Wᵀ at every position, and what the layers around it ask for on the way.
template <Shape Input, std::int64_t Out, bool WithBias, class S>
struct PointwiseKernel {
    using Number = Arithmetic<S>;
    static constexpr Shape input = Input, output{Input.height, Input.width, Out};
    static constexpr bool bias = WithBias;
    static constexpr int in = static_cast<int>(Input.channels), out = static_cast<int>(Out);
    static constexpr std::int64_t weight_count = std::int64_t{in} * out;
    static constexpr std::int64_t scratch = 0;
    static constexpr std::int64_t partials = weight_partials(out, 1, in);

    template <class Source, class Sink>
    static std::int64_t forward(const Pass<S>& pass, const Number* weights, const Source& source, const Sink& sink) {
        return multiply_rows<out>(pass, pass.count * pixel_count(Input), AtPositions<Source>{source},
                                  RightFactor<Number, true>{weights, in}, sink);
    }
    template <class Gradient, class Source, class Sink>
    static std::int64_t backward(const Pass<S>& pass, const Number* weights, const Gradient& output_gradient,
                                 const Source& source, const Sink& sink, Number* weight_gradient) {
        const std::int64_t rows = pass.count * pixel_count(Input);
        if constexpr (!takes_nothing<Sink> && std::is_same_v<Number, float>) {
            using T = std::conditional_t<std::is_same_v<S, Bfloat16>, Bfloat16, Tf32>;
            using Both = TensorPointwiseBack<T, Gradient, Source, Sink, out, in>;
            if constexpr (Both::fit)
                if (std::is_same_v<S, Bfloat16> || pass.execution->allows_tf32())
                    return multiply_back<Both>(pass, rows, weights, output_gradient, source, sink, weight_gradient);
        }
        multiply_weights<out>(pass, rows, output_gradient, AtPositions<Source>{source}, weight_gradient);
        if constexpr (takes_nothing<Sink>)
            return 0;
        else
            return multiply_rows<in>(pass, rows, AtPositions<Gradient>{output_gradient},
                                     RightFactor<Number, false>{weights, in}, sink);
    }
};

/// Y[rows×Out] = X[rows×In] · Wᵀ + b on its own: pointwise convolution and linear layers. A product that takes nothing
/// along is cuBLAS's.
template <Shape Input, std::int64_t Out, bool WithBias, class S>
struct PointwiseOperation : OperationSizes {
    using Kernel = PointwiseKernel<Input, Out, WithBias, S>;
    static constexpr std::int64_t in = Input.channels, weight_count = Kernel::weight_count;
    static constexpr std::int64_t scratch = factor_scratch<S>(weight_count);
    static constexpr std::int64_t sums = WithBias ? Out : 0;

    static void forward(const Pass<S>& pass, const Weights<S>& weights, const S* input, S* output, S*) {
        if constexpr (WithBias) {
            Kernel::forward(pass, weights.parameters, PlainSource<in, S>{input},
                            PlainSink<true, Out, S>{output, weights.parameters + weight_count});
        } else {
            const S* factor = as_factor(pass, weight_count, weights.parameters);
            multiply<S>(pass, pass.count * pixel_count(Input), Out, in, {input, in}, {factor, in, Transposed::yes},
                        output, Out);
        }
    }
    static void backward(const Pass<S>& pass, const Weights<S>& weights, const S* input, const S*,
                         const S* output_gradient, S* input_gradient, Arithmetic<S>* parameter_gradient) {
        const std::int64_t rows = pass.count * pixel_count(Input);
        multiply<S>(pass, Out, in, rows, {output_gradient, Out, Transposed::yes}, {input, in}, parameter_gradient, in);
        if constexpr (WithBias)
            bias_gradient(pass, rows, PlainSource<Out, S>{output_gradient}, parameter_gradient + weight_count);
        if (!input_gradient) return;
        const S* factor = as_factor(pass, weight_count, weights.parameters);
        multiply<S>(pass, rows, in, Out, {output_gradient, Out}, {factor, in}, input_gradient, in);
    }
};

}  // namespace bantam::cuda
