// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/bfloat16.hpp>
#include <bantam/base/host_device.hpp>
#include <bantam/base/index.hpp>
#include <bantam/cuda/runtime/operation.hpp>
#include <bantam/exec/math.hpp>
#include <bantam/layers/softmax.hpp>

namespace bantam::cuda {

template <Shape Input, class S>
struct Operation<Softmax, Input, S> : OperationSizes {
    using ComputeType = Compute<S>;
    using M = exec::Math<ComputeType>;
    static constexpr Index channels = Input.channels;

    /// eˣ of one position's channels, divided by their sum. The largest channel is subtracted first, so that no
    /// power overflows.
    struct Position {
        const S* x;
        ComputeType largest, inverse_sum;

        BANTAM_HOST_DEVICE explicit Position(const S* from) : x{from}, largest{ComputeType(from[0])}, inverse_sum{} {
            for (Index c = 1; c < channels; ++c) largest = M::max(largest, ComputeType(x[c]));
            ComputeType sum{};
            for (Index c = 0; c < channels; ++c) sum += M::exp(ComputeType(x[c]) - largest);
            inverse_sum = ComputeType(1) / sum;
        }
        BANTAM_HOST_DEVICE ComputeType operator[](Index c) const {
            return M::exp(ComputeType(x[c]) - largest) * inverse_sum;
        }
    };
    struct Forward {
        const S* input;
        S* output;
        BANTAM_HOST_DEVICE void operator()(Index position) const {
            const Position p{input + position * channels};
            for (Index c = 0; c < channels; ++c) output[position * channels + c] = S(p[c]);
        }
    };
    /// dL/dx = p · (dL/dp − Σ p · dL/dp)
    struct Backward {
        const S *input, *output_gradient;
        S* input_gradient;
        BANTAM_HOST_DEVICE void operator()(Index position) const {
            const Position p{input + position * channels};
            const S* const gradient = output_gradient + position * channels;
            ComputeType dot{};
            for (Index c = 0; c < channels; ++c) dot += p[c] * ComputeType(gradient[c]);
            for (Index c = 0; c < channels; ++c)
                input_gradient[position * channels + c] = S(p[c] * (ComputeType(gradient[c]) - dot));
        }
    };

    static void forward(const Pass<S>& pass, const Weights<S>&, const S* input, S* output, S*) {
        for_each_index(pass, pass.count * pixel_count(Input), Forward{input, output});
    }
    static void backward(const Pass<S>& pass, const Weights<S>&, const S* input, const S*, const S* output_gradient,
                         S* input_gradient, ComputeType*) {
        if (input_gradient)
            for_each_index(pass, pass.count * pixel_count(Input), Backward{input, output_gradient, input_gradient});
    }
};

}  // namespace bantam::cuda
