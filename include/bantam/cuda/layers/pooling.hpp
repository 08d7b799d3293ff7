// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/cuda/kernels/sample_reduction.hpp>
#include <bantam/cuda/kernels/windows.hpp>
#include <bantam/cuda/runtime/operation.hpp>
#include <bantam/cuda/runtime/split_index.hpp>
#include <bantam/layers/pooling.hpp>

#include <limits>
#include <type_traits>

namespace bantam::cuda {

template <int Kernel, int Stride, int Padding, Shape Input, class S>
struct Operation<MaxPool2d<Kernel, Stride, Padding>, Input, S> : OperationSizes {
    static constexpr Shape output_shape = MaxPool2d<Kernel, Stride, Padding>::output_shape(Input);
    using Around = Windows<Input, output_shape, Kernel, Stride, Padding, 1>;
    using Number = Compute<S>;
    static constexpr Index channels = Input.channels;
    static constexpr Index outputs = element_count(output_shape);
    static_assert(Around::taps <= 256 || !std::is_same_v<S, Bfloat16>, "bf16 counts no further than to 256");

    /// The winning tap of every output.
    static constexpr Index saved_per_sample(bool training) { return training ? outputs : 0; }

    struct Forward {
        static constexpr Number lowest = -std::numeric_limits<Number>::infinity();
        const S* input;
        S *output, *argmax;  // argmax may be null
        BANTAM_HOST_DEVICE void operator()(Index i) const {
            const SplitIndex<channels> at{i};
            Number best = lowest;
            Index winner = 0;
            for (Index tap = 0; tap < Around::taps; ++tap) {
                const Index pixel = Around::pixel_under(at.whole, tap);
                if (pixel < 0) continue;
                const Number value = input[pixel * channels + at.rest];
                // The first of equals wins, as in PyTorch; a NaN wins so that it is not hidden.
                if (value > best || value != value) {
                    best = value;
                    winner = tap;
                }
            }
            output[i] = S(best);
            if (argmax) argmax[i] = S(Number(winner));
        }
    };
    struct Backward {
        const S *argmax, *output_gradient;
        S* input_gradient;
        BANTAM_HOST_DEVICE void operator()(Index i) const {
            const SplitIndex<channels> at{i};
            Compute<S> sum{};
            for (Index tap = 0; tap < Around::taps; ++tap) {
                const Index pixel = Around::pixel_over(at.whole, tap);
                const Index from = pixel * channels + at.rest;
                if (pixel >= 0 && argmax[from] == Number(tap)) sum += output_gradient[from];
            }
            input_gradient[i] = S(sum);
        }
    };

    static void forward(const Pass<S>& pass, const Weights<S>&, const S* input, S* output, S* argmax) {
        for_each_index(pass, pass.count * outputs, Forward{input, output, pass.training ? argmax : nullptr});
    }
    static void backward(const Pass<S>& pass, const Weights<S>&, const S*, const S* argmax, const S* output_gradient,
                         S* input_gradient, Compute<S>*) {
        if (input_gradient)
            for_each_index(pass, pass.count * element_count(Input), Backward{argmax, output_gradient, input_gradient});
    }
};

template <int Kernel, int Stride, int Padding, Shape Input, class S>
struct Operation<AvgPool2d<Kernel, Stride, Padding>, Input, S> : OperationSizes {
    static constexpr Shape output_shape = AvgPool2d<Kernel, Stride, Padding>::output_shape(Input);
    using Around = Windows<Input, output_shape, Kernel, Stride, Padding, 1>;
    static constexpr Index channels = Input.channels;

    /// to[i] = share of the sum of what the taps find.
    template <bool Back>
    struct Share {
        const S* from;
        S* to;
        BANTAM_HOST_DEVICE void operator()(Index i) const {
            const SplitIndex<channels> at{i};
            Compute<S> sum{};
            for (Index tap = 0; tap < Around::taps; ++tap) {
                const Index pixel = Back ? Around::pixel_over(at.whole, tap) : Around::pixel_under(at.whole, tap);
                if (pixel >= 0) sum += from[pixel * channels + at.rest];
            }
            to[i] = S(sum * Compute<S>(1.0 / (Kernel * Kernel)));
        }
    };

    static void forward(const Pass<S>& pass, const Weights<S>&, const S* input, S* output, S*) {
        for_each_index(pass, pass.count * element_count(output_shape), Share<false>{input, output});
    }
    static void backward(const Pass<S>& pass, const Weights<S>&, const S*, const S*, const S* output_gradient,
                         S* input_gradient, Compute<S>*) {
        if (input_gradient)
            for_each_index(pass, pass.count * element_count(Input), Share<true>{output_gradient, input_gradient});
    }
};

template <Shape Input, class S>
struct Operation<GlobalAveragePool, Input, S> : OperationSizes {
    static constexpr Index channels = Input.channels;
    static constexpr Index pixels = pixel_count(Input);
    static constexpr auto share = Compute<S>(1.0 / static_cast<double>(pixels));

    struct Backward {
        const S* output_gradient;
        S* input_gradient;
        BANTAM_HOST_DEVICE void operator()(Index i) const {
            const SplitIndex<pixels * channels> in_batch{i};
            const SplitIndex<channels> in_sample{in_batch.rest};
            input_gradient[i] = S(output_gradient[in_batch.whole * channels + in_sample.rest] * share);
        }
    };

    static void forward(const Pass<S>& pass, const Weights<S>&, const S* input, S* output, S*) {
        sum_samples<Input>(pass, detail::MapElement<channels, S>{input}, share, output);
    }
    static void backward(const Pass<S>& pass, const Weights<S>&, const S*, const S*, const S* output_gradient,
                         S* input_gradient, Compute<S>*) {
        if (input_gradient)
            for_each_index(pass, pass.count * element_count(Input), Backward{output_gradient, input_gradient});
    }
};

}  // namespace bantam::cuda
