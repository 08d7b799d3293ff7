// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/cpu/runtime/math.hpp>
#include <bantam/cpu/runtime/operation.hpp>
#include <bantam/cpu/runtime/packet.hpp>
#include <bantam/exec/activation_functions.hpp>
#include <bantam/layers/gate.hpp>

namespace bantam::cpu {

template <class Act, Shape Input, class S>
struct Operation<Gate<Act>, Input, S> : OperationSizes {
    using Function = exec::ActivationFunction<Act>;
    static constexpr Index half = Input.channels / 2;

    static void forward(const Pass<S>& pass, const Weights<S>&, const S* input, S* output, S*) {
        for_each_chunk(pass, [&](Chunk chunk, S*) {
            const Index begin = chunk.first * pixel_count(Input);
            for (Index row = begin; row < begin + chunk.count * pixel_count(Input); ++row) {
                const S* in = input + row * 2 * half;
                for_each_packet<S, half>([&]<int Width>(Index c) {
                    store_packet<S, Width>(output + row * half + c, Function::value(load_packet<S, Width>(in + c)) *
                                                                        load_packet<S, Width>(in + half + c));
                });
            }
        });
    }

    static void backward(const Pass<S>& pass, const Weights<S>&, const S* input, const S*, const S* output_gradient,
                         S* input_gradient, S*) {
        if (!input_gradient) return;
        for_each_chunk(pass, [&](Chunk chunk, S*) {
            const Index begin = chunk.first * pixel_count(Input);
            for (Index row = begin; row < begin + chunk.count * pixel_count(Input); ++row) {
                const S* in = input + row * 2 * half;
                S* to = input_gradient + row * 2 * half;
                for_each_packet<S, half>([&]<int Width>(Index c) {
                    const Packet<S, Width> gradient = load_packet<S, Width>(output_gradient + row * half + c);
                    const Packet<S, Width> x = load_packet<S, Width>(in + c);
                    store_packet<S, Width>(to + c,
                                           gradient * Function::derivative(x) * load_packet<S, Width>(in + half + c));
                    store_packet<S, Width>(to + half + c, gradient * Function::value(x));
                });
            }
        });
    }
};

}  // namespace bantam::cpu
