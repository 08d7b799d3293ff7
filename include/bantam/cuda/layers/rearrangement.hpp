// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/base/split_index.hpp>
#include <bantam/cuda/runtime/operation.hpp>
#include <bantam/layers/rearrangement.hpp>

namespace bantam::cuda {

template <RearrangingLayer L, Shape Input, class S>
struct Operation<L, Input, S> : OperationSizes {
    static constexpr Shape output_shape = L::output_shape(Input);

    /// Moves one element from the input to the output, or with `Backward` from the output's gradient to the input's.
    template <bool Backward>
    struct Move {
        const S* from;
        S* to;
        BANTAM_HOST_DEVICE void operator()(Index output) const {
            const SplitIndex<output_shape.channels> in_pixel{output};
            const SplitIndex<output_shape.width> in_row{in_pixel.whole};
            const SplitIndex<output_shape.height> in_batch{in_row.whole};
            const MapPosition source = L::template source<Input>({in_batch.rest, in_row.rest, in_pixel.rest});
            const Index input =
                ((in_batch.whole * Input.height + source.row) * Input.width + source.column) * Input.channels +
                source.channel;
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
