// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/base/random.hpp>
#include <bantam/cuda/runtime/operation.hpp>
#include <bantam/layers/dropout.hpp>

#include <cstdint>

namespace bantam::cuda {

template <auto Percent, Shape Input, class S>
struct Operation<Dropout<Percent>, Input, S> : OperationSizes {
    /// Which elements are dropped depends on seed, layer and position in the batch alone, as on the CPU.
    struct Drop {
        const S* from;
        S* to;
        const std::uint64_t* seed;
        std::uint64_t stream;
        Index first;  // position of the first element
        BANTAM_HOST_DEVICE void operator()(Index i) const {
            using ComputeType = Compute<S>;
            const bool dropped =
                random_uniform(*seed, stream, static_cast<std::uint64_t>(first + i)) < Dropout<Percent>::probability;
            to[i] = S(dropped ? ComputeType(0) : from[i] * ComputeType(1 / (1 - Dropout<Percent>::probability)));
        }
    };

    static Index first(const Pass<S>& pass) { return pass.part().first_sample() * element_count(Input); }

    static void forward(const Pass<S>& pass, const Weights<S>&, const S* input, S* output, S*) {
        const Index elements = pass.count * element_count(Input);
        if (pass.training)
            for_each_index(pass, elements, Drop{input, output, pass.seed, pass.stream, first(pass)});
        else
            copy_on_device(*pass.execution, input, elements, output);
    }
    static void backward(const Pass<S>& pass, const Weights<S>&, const S*, const S*, const S* output_gradient,
                         S* input_gradient, Compute<S>*) {
        if (input_gradient)
            for_each_index(pass, pass.count * element_count(Input),
                           Drop{output_gradient, input_gradient, pass.seed, pass.stream, first(pass)});
    }
};

}  // namespace bantam::cuda
