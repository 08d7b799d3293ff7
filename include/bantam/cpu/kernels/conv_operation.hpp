// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/cpu/kernels/epilogue.hpp>
#include <bantam/cpu/kernels/source.hpp>
#include <bantam/cpu/runtime/operation.hpp>
#include <bantam/exec/concepts.hpp>

#include <algorithm>
#include <type_traits>

namespace bantam::cpu {

// A convolution kernel states its `input` and `output` shapes and its sizes (OperationSizes), and has
//
// - `forward_chunk(chunk, weights, source, epilogue, scratch)`
// - `backward_chunk(chunk, weights, source, gradient, epilogue, partial, scratch)`: `gradient` is the source of
//   dL/d(output), `epilogue` takes the rows of dL/d(input), and the chunk's weight gradient is added to `partial`
// - `reduce_gradient(pass, parameter_gradient)`: adds up the chunks' weight gradients, in PyTorch's layout
// - `ConvSource<Source>`, made of (source, weights, chunk, memory) with `memory_size` scalars of memory: the
//   convolution's output as rows on demand. `rows(first, count, to, epilogue)` computes whole lines of the map,
//   in ascending order, through a register epilogue, and reads from `source` the lines that it needs.

/// A convolution on its own, from memory to memory.
template <exec::ConvKernel Kernel, class S>
struct ConvOperation : Kernel {
    using InputSource = MemorySource<Kernel::input.channels, S>;
    using GradientSource = MemorySource<Kernel::output.channels, S>;

    static void forward(const Pass<S>& pass, const Weights<S>& weights, const S* input, S* output, S*) {
        for_each_chunk(pass, [&](Chunk chunk, S* scratch) {
            Kernel::forward_chunk(chunk, weights, InputSource{input},
                                  MemoryEpilogue<Kernel::output.channels, S>{output}, scratch);
        });
    }

    /// A pointer `input_gradient` is not null.
    template <class InputGradient>
    static void backward(const Pass<S>& pass, const Weights<S>& weights, const S* input, const S*,
                         const S* output_gradient, [[maybe_unused]] InputGradient input_gradient,
                         S* parameter_gradient) {
        const auto backward_to = [&](const auto& epilogue) {
            for_each_chunk(pass, [&](Chunk chunk, S* scratch) {
                S* partial = pass.partials + chunk.index * Kernel::partial_size;
                std::fill(partial, partial + Kernel::partial_size, S{0});
                Kernel::backward_chunk(chunk, weights, InputSource{input}, GradientSource{output_gradient}, epilogue,
                                       partial, scratch);
            });
        };
        if constexpr (std::is_null_pointer_v<InputGradient>)
            backward_to(NullSink<Kernel::input.channels, S>{});
        else
            backward_to(MemoryEpilogue<Kernel::input.channels, S>{input_gradient});
        Kernel::reduce_gradient(pass, parameter_gradient);
    }
};

}  // namespace bantam::cpu
