// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/core/shape.hpp>
#include <bantam/cuda/hooks.hpp>
#include <bantam/cuda/operation.hpp>
#include <bantam/cuda/rows.hpp>

#include <cstdint>

namespace bantam::cuda {

// A convolution's kernel states `input`, `output`, `bias`, `weight_count`, its `scratch` and `partials`, and
//
// - `forward(pass, weights, source, sink)`
// - `backward(pass, weights, output gradient's source, input's source, sink of the input's gradient, weight gradient)`
//
// which give the number of parts that the sink's sums lie in at pass.sums, [part][sum][channel].

/// gradient[c] = Σ over rows of what `source` gives; takes pass.sums.
template <class S, class Source>
void bias_gradient(const Pass<S>& pass, std::int64_t rows, const Source& source, Arithmetic<S>* gradient) {
    sum_over_rows(pass, rows, Source::channels, SourceTerm<Source>{source}, pass.sums, gradient);
}

/// A convolution on its own, from memory to memory.
template <class Kernel_, class S>
struct HookedOperation : OperationSizes {
    using Kernel = Kernel_;
    static constexpr std::int64_t in = Kernel::input.channels, out = Kernel::output.channels;
    static constexpr std::int64_t scratch = Kernel::scratch, partials = Kernel::partials;
    static constexpr std::int64_t sums = Kernel::bias ? out : 0;

    static void forward(const Pass<S>& pass, const Weights<S>& weights, const S* input, S* output, S*) {
        Kernel::forward(pass, weights.parameters, PlainSource<in, S>{input},
                        PlainSink<Kernel::bias, out, S>{output, weights.parameters + Kernel::weight_count});
    }
    static void backward(const Pass<S>& pass, const Weights<S>& weights, const S* input, const S*,
                         const S* output_gradient, S* input_gradient, Arithmetic<S>* parameter_gradient) {
        const PlainSource<out, S> gradient{output_gradient};
        const PlainSource<in, S> source{input};
        if constexpr (Kernel::bias)
            bias_gradient(pass, pass.count * pixel_count(Kernel::output), gradient,
                          parameter_gradient + Kernel::weight_count);
        if (input_gradient)
            Kernel::backward(pass, weights.parameters, gradient, source, PlainSink<false, in, S>{input_gradient},
                             parameter_gradient);
        else
            Kernel::backward(pass, weights.parameters, gradient, source, NoSink<in, S>{}, parameter_gradient);
    }
};

}  // namespace bantam::cuda
