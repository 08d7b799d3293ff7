// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/cpu/runtime/operation.hpp>
#include <bantam/layers/rearrangement.hpp>

namespace bantam::cpu {

template <RearrangingLayer L, Shape Input, class S>
struct Operation<L, Input, S> : OperationSizes {
    static constexpr Shape output_shape = L::output_shape(Input);

    /// Calls `body(output element, input element)` for each element of the batch.
    template <class Body>
    static void for_each_element(const Pass<S>& pass, const Body& body) {
        for_each_chunk(pass, [&](Chunk chunk, S*) {
            Index to = chunk.first * element_count(Input);
            for (Index n = chunk.first; n < chunk.first + chunk.count; ++n)
                for (Index row = 0; row < output_shape.height; ++row)
                    for (Index column = 0; column < output_shape.width; ++column)
                        for (Index channel = 0; channel < output_shape.channels; ++channel) {
                            const MapPosition from = L::template source<Input>({row, column, channel});
                            body(to++, ((n * Input.height + from.row) * Input.width + from.column) * Input.channels +
                                           from.channel);
                        }
        });
    }

    static void forward(const Pass<S>& pass, const Weights<S>&, const S* input, S* output, S*) {
        for_each_element(pass, [=](Index to, Index from) { output[to] = input[from]; });
    }
    static void backward(const Pass<S>& pass, const Weights<S>&, const S*, const S*, const S* output_gradient,
                         S* input_gradient, S*) {
        if (!input_gradient) return;
        for_each_element(pass, [=](Index to, Index from) { input_gradient[from] = output_gradient[to]; });
    }
};

}  // namespace bantam::cpu
