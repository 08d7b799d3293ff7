// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/cpu/runtime/math.hpp>
#include <bantam/cpu/runtime/operation.hpp>
#include <bantam/cpu/runtime/packet.hpp>
#include <bantam/exec/activation_functions.hpp>
#include <bantam/layers/activations.hpp>

namespace bantam::cpu {

/// An activation that is not fused with the layer before it.
template <ActivationLayer Act, Shape Input, class S>
struct Operation<Act, Input, S> : OperationSizes {
    using Function = exec::ActivationFunction<Act>;

    /// Sample by sample, so that a sample's packets do not depend on the batch: the exponential of a whole packet and
    /// that of a shorter end may differ in the last bit.
    template <class Body>
    static void for_each_element(const Pass<S>& pass, Body&& body) {
        for_each_chunk(pass, [&](Chunk chunk, S*) {
            for (Index n = chunk.first; n < chunk.first + chunk.count; ++n)
                for_each_packet<S, element_count(Input)>(
                    [&]<int Width>(Index i) { body.template operator()<Width>(n * element_count(Input) + i); });
        });
    }

    static void forward(const Pass<S>& pass, const Weights<S>&, const S* input, S* output, S*) {
        for_each_element(pass, [&]<int Width>(Index i) {
            store_packet<S, Width>(output + i, Function::value(load_packet<S, Width>(input + i)));
        });
    }

    static void backward(const Pass<S>& pass, const Weights<S>&, const S* input, const S*, const S* output_gradient,
                         S* input_gradient, S*) {
        if (!input_gradient) return;
        for_each_element(pass, [&]<int Width>(Index i) {
            const Packet<S, Width> slope = Function::derivative(load_packet<S, Width>(input + i));
            store_packet<S, Width>(input_gradient + i, slope * load_packet<S, Width>(output_gradient + i));
        });
    }
};

}  // namespace bantam::cpu
