// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/cpu/runtime/math.hpp>
#include <bantam/cpu/runtime/operation.hpp>
#include <bantam/cpu/runtime/packet.hpp>
#include <bantam/layers/prelu.hpp>

#include <algorithm>

namespace bantam::cpu {

template <Shape Input, class S>
struct Operation<PReLU, Input, S> : OperationSizes {
    static constexpr Index channels = Input.channels;
    static constexpr Index partial_size = channels;

    /// Calls `body.operator()<Width>(element, channel)` for the packets of a chunk.
    template <class Body>
    static void for_each_packet_of(const Chunk& chunk, const Body& body) {
        const Index end = (chunk.first + chunk.count) * element_count(Input);
        for (Index pixel = chunk.first * element_count(Input); pixel < end; pixel += channels)
            for_each_packet<S, channels>([&]<int Width>(Index c) { body.template operator()<Width>(pixel + c, c); });
    }

    static void forward(const Pass<S>& pass, const Weights<S>& weights, const S* input, S* output, S*) {
        for_each_chunk(pass, [&](Chunk chunk, S*) {
            for_each_packet_of(chunk, [&]<int Width>(Index i, Index c) {
                using M = exec::Math<Packet<S, Width>>;
                const Packet<S, Width> x = load_packet<S, Width>(input + i);
                const Packet<S, Width> scaled = x * load_packet<S, Width>(weights.parameters + c);
                store_packet<S, Width>(output + i, M::if_greater(x, 0, x, scaled));
            });
        });
    }

    static void backward(const Pass<S>& pass, const Weights<S>& weights, const S* input, const S*,
                         const S* output_gradient, S* input_gradient, S* parameter_gradient) {
        for_each_chunk(pass, [&](Chunk chunk, S*) {
            S* const partial = pass.partials + chunk.index * partial_size;
            std::fill(partial, partial + partial_size, S{0});
            for_each_packet_of(chunk, [&]<int Width>(Index i, Index c) {
                using M = exec::Math<Packet<S, Width>>;
                const Packet<S, Width> x = load_packet<S, Width>(input + i);
                const Packet<S, Width> gradient = load_packet<S, Width>(output_gradient + i);
                const Packet<S, Width> of_weight = M::if_greater(x, 0, M::constant(0), gradient * x);
                store_packet<S, Width>(partial + c, load_packet<S, Width>(partial + c) + of_weight);
                if (!input_gradient) return;
                const Packet<S, Width> scaled = gradient * load_packet<S, Width>(weights.parameters + c);
                store_packet<S, Width>(input_gradient + i, M::if_greater(x, 0, gradient, scaled));
            });
        });
        add_gradient_partials(pass, partial_size, parameter_gradient);
    }
};

}  // namespace bantam::cpu
