// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/base/random.hpp>
#include <bantam/cuda/runtime/operation.hpp>
#include <bantam/layers/dropout.hpp>

#include <cstdint>

namespace bantam::cuda {

template <int Percent, Shape Input, class S>
struct Operation<Dropout<Percent>, Input, S> : OperationSizes {
    /// The same elements as on the CPU: which are kept depends on seed, layer and position alone.
    struct Drop {
        const S* from;
        S* to;
        const std::uint64_t* seed;
        std::uint64_t stream;
        BANTAM_HOST_DEVICE void operator()(Index i) const {
            const bool kept =
                random_uniform(*seed, stream, static_cast<std::uint64_t>(i)) >= Dropout<Percent>::probability;
            using Number = Compute<S>;
            to[i] = S(kept ? from[i] * Number(1 / (1 - Dropout<Percent>::probability)) : Number(0));
        }
    };

    static void forward(const Pass<S>& pass, const Weights<S>&, const S* input, S* output, S*) {
        const Index elements = pass.count * element_count(Input);
        if (pass.training)
            for_each_index(pass, elements, Drop{input, output, pass.seed, pass.stream});
        else
            copy_on_device(*pass.execution, input, elements, output);
    }
    static void backward(const Pass<S>& pass, const Weights<S>&, const S*, const S*, const S* output_gradient,
                         S* input_gradient, Compute<S>*) {
        if (input_gradient)
            for_each_index(pass, pass.count * element_count(Input),
                           Drop{output_gradient, input_gradient, pass.seed, pass.stream});
    }
};

}  // namespace bantam::cuda
