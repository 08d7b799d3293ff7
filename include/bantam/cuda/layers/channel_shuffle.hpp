// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/base/split_index.hpp>
#include <bantam/cuda/runtime/operation.hpp>
#include <bantam/layers/channel_shuffle.hpp>

namespace bantam::cuda {

template <int Groups, Shape Input, class S>
struct Operation<ChannelShuffle<Groups>, Input, S> : OperationSizes {
    static constexpr Index channels = Input.channels;

    /// Moves one element from the input to the output, or with `Backward` from the output's gradient to the input's.
    template <bool Backward>
    struct Move {
        const S* from;
        S* to;
        BANTAM_HOST_DEVICE void operator()(Index output) const {
            const SplitIndex<channels> at{output};
            const Index input = at.whole * channels + ChannelShuffle<Groups>::source_channel(at.rest, channels);
            to[Backward ? input : output] = from[Backward ? output : input];
        }
    };

    static void forward(const Pass<S>& pass, const Weights<S>&, const S* input, S* output, S*) {
        for_each_index(pass, pass.count * element_count(Input), Move<false>{input, output});
    }
    static void backward(const Pass<S>& pass, const Weights<S>&, const S*, const S*, const S* output_gradient,
                         S* input_gradient, Compute<S>*) {
        if (input_gradient)
            for_each_index(pass, pass.count * element_count(Input), Move<true>{output_gradient, input_gradient});
    }
};

}  // namespace bantam::cuda
