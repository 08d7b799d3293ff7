// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/cpu/runtime/operation.hpp>
#include <bantam/layers/channel_shuffle.hpp>

namespace bantam::cpu {

template <int Groups, Shape Input, class S>
struct Operation<ChannelShuffle<Groups>, Input, S> : OperationSizes {
    static constexpr Index channels = Input.channels;

    /// Calls `body(output element, input element)` for each element of the batch.
    template <class Body>
    static void for_each_element(const Pass<S>& pass, const Body& body) {
        for_each_chunk(pass, [&](Chunk chunk, S*) {
            const Index end = (chunk.first + chunk.count) * element_count(Input);
            for (Index row = chunk.first * element_count(Input); row < end; row += channels)
                for (Index c = 0; c < channels; ++c)
                    body(row + c, row + ChannelShuffle<Groups>::source_channel(c, channels));
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
