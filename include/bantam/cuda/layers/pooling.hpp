// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/base/split_index.hpp>
#include <bantam/cuda/kernels/sample_reduction.hpp>
#include <bantam/cuda/runtime/operation.hpp>
#include <bantam/layers/pooling.hpp>

#include <limits>
#include <type_traits>

namespace bantam::cuda {

template <auto KernelSize, auto Stride, auto Padding, Shape Input, class S>
struct Operation<MaxPool2d<KernelSize, Stride, Padding>, Input, S> : OperationSizes {
    static constexpr Shape output_shape = MaxPool2d<KernelSize, Stride, Padding>::output_shape(Input);
    using Geometry = ConvGeometry<Input, typename MaxPool2d<KernelSize, Stride, Padding>::Window>;
    static constexpr Index channels = Input.channels;
    static constexpr Index outputs = element_count(output_shape);
    static_assert(Geometry::taps <= 256 || !std::is_same_v<S, Bfloat16>, "bf16 holds whole numbers up to 256 only");

    /// The tap of each output's largest value.
    static constexpr Index saved_per_sample(bool training) { return training ? outputs : 0; }

    struct Forward {
        static constexpr Compute<S> lowest = -std::numeric_limits<Compute<S>>::infinity();
        const S* input;
        S *output, *argmax;  // argmax may be null
        BANTAM_HOST_DEVICE void operator()(Index i) const {
            const SplitIndex<channels> at{i};
            Compute<S> best = lowest;
            Index best_tap = 0;
            for (Index tap = 0; tap < Geometry::taps; ++tap) {
                const Index pixel = Geometry::input_pixel(at.whole, tap);
                if (pixel < 0) continue;
                const Compute<S> value = input[pixel * channels + at.rest];
                // The first of equal values is chosen, as in PyTorch; a NaN always is, so that it is not hidden.
                if (value > best || value != value) {
                    best = value;
                    best_tap = tap;
                }
            }
            output[i] = S(best);
            if (argmax) argmax[i] = S(Compute<S>(best_tap));
        }
    };
    struct Backward {
        const S *argmax, *output_gradient;
        S* input_gradient;
        BANTAM_HOST_DEVICE void operator()(Index i) const {
            const SplitIndex<channels> at{i};
            Compute<S> sum{};
            for (Index tap = 0; tap < Geometry::taps; ++tap) {
                const Index pixel = Geometry::output_pixel(at.whole, tap);
                const Index from = pixel * channels + at.rest;
                if (pixel >= 0 && argmax[from] == Compute<S>(tap)) sum += output_gradient[from];
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

template <auto KernelSize, auto Stride, auto Padding, Shape Input, class S>
struct Operation<AvgPool2d<KernelSize, Stride, Padding>, Input, S> : OperationSizes {
    static constexpr Shape output_shape = AvgPool2d<KernelSize, Stride, Padding>::output_shape(Input);
    using Geometry = ConvGeometry<Input, typename AvgPool2d<KernelSize, Stride, Padding>::Window>;
    static constexpr Index channels = Input.channels;

    /// to[i] = Σ from[…] / taps, over the pixels under output i (forward) or the windows over input i (backward).
    template <bool Backward>
    struct Share {
        const S* from;
        S* to;
        BANTAM_HOST_DEVICE void operator()(Index i) const {
            const SplitIndex<channels> at{i};
            Compute<S> sum{};
            for (Index tap = 0; tap < Geometry::taps; ++tap) {
                const Index pixel =
                    Backward ? Geometry::output_pixel(at.whole, tap) : Geometry::input_pixel(at.whole, tap);
                if (pixel >= 0) sum += from[pixel * channels + at.rest];
            }
            to[i] = S(sum * Compute<S>(1.0 / Geometry::taps));
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
