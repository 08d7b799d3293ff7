// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/cuda/operation.hpp>
#include <bantam/layers/pooling.hpp>

#include <cstdint>
#include <limits>

namespace bantam::cuda {

/// Where the windows of a pooling layer lie.
template <class Pool, Shape Input>
struct PoolingWindows {
    static constexpr Shape output = Pool::output_shape(Input);
    static constexpr std::int64_t channels = Input.channels;
    static constexpr std::int64_t taps = std::int64_t{Pool::kernel} * Pool::kernel;

    /// The input element that tap `tap` of output element i reads; −1 in the padding.
    BANTAM_HOST_DEVICE static std::int64_t element_under(std::int64_t i, std::int64_t tap) {
        const std::int64_t row = i / channels;
        const std::int64_t n = row / (output.height * output.width);
        const std::int64_t y = row % (output.height * output.width) / output.width, x = row % output.width;
        const std::int64_t in_y = y * Pool::stride - Pool::padding + tap / Pool::kernel;
        const std::int64_t in_x = x * Pool::stride - Pool::padding + tap % Pool::kernel;
        const bool inside = in_y >= 0 && in_y < Input.height && in_x >= 0 && in_x < Input.width;
        return inside ? ((n * Input.height + in_y) * Input.width + in_x) * channels + i % channels : -1;
    }

    /// The output element whose tap `tap` reads input element i; −1 where there is none.
    BANTAM_HOST_DEVICE static std::int64_t element_over(std::int64_t i, std::int64_t tap) {
        const std::int64_t pixel = i / channels;
        const std::int64_t n = pixel / (Input.height * Input.width);
        const std::int64_t y = pixel % (Input.height * Input.width) / Input.width + Pool::padding - tap / Pool::kernel;
        const std::int64_t x = pixel % Input.width + Pool::padding - tap % Pool::kernel;
        if (y < 0 || x < 0 || y % Pool::stride != 0 || x % Pool::stride != 0) return -1;
        if (y / Pool::stride >= output.height || x / Pool::stride >= output.width) return -1;
        return ((n * output.height + y / Pool::stride) * output.width + x / Pool::stride) * channels + i % channels;
    }
};

template <int Kernel, int Stride, int Padding, Shape Input, class S>
struct Operation<MaxPool2d<Kernel, Stride, Padding>, Input, S> : OperationSizes {
    using Windows = PoolingWindows<MaxPool2d<Kernel, Stride, Padding>, Input>;
    static constexpr std::int64_t outputs = element_count(Windows::output);

    /// The winning tap of every output.
    static constexpr std::int64_t saved_per_sample(bool training) { return training ? outputs : 0; }

    struct Forward {
        const S* input;
        S *output, *winners;  // winners may be null
        BANTAM_HOST_DEVICE void operator()(std::int64_t i) const {
            S best = -std::numeric_limits<S>::infinity();
            std::int64_t winner = 0;
            for (std::int64_t tap = 0; tap < Windows::taps; ++tap) {
                const std::int64_t from = Windows::element_under(i, tap);
                if (from < 0) continue;
                const S value = input[from];
                // The first of equals wins, as in PyTorch; a NaN wins so that it is not hidden.
                if (value > best || value != value) {
                    best = value;
                    winner = tap;
                }
            }
            output[i] = best;
            if (winners) winners[i] = S(winner);
        }
    };
    struct Backward {
        const S *winners, *output_gradient;
        S* input_gradient;
        BANTAM_HOST_DEVICE void operator()(std::int64_t i) const {
            S sum{};
            for (std::int64_t tap = 0; tap < Windows::taps; ++tap)
                if (const std::int64_t from = Windows::element_over(i, tap); from >= 0 && winners[from] == S(tap))
                    sum += output_gradient[from];
            input_gradient[i] = sum;
        }
    };

    static void forward(const Pass<S>& pass, const Weights<S>&, const S* input, S* output, S* winners) {
        for_each_index(pass, pass.count * outputs, Forward{input, output, pass.training ? winners : nullptr});
    }
    static void backward(const Pass<S>& pass, const Weights<S>&, const S*, const S* winners, const S* output_gradient,
                         S* input_gradient, S*) {
        if (input_gradient)
            for_each_index(pass, pass.count * element_count(Input),
                           Backward{winners, output_gradient, input_gradient});
    }
};

template <int Kernel, int Stride, int Padding, Shape Input, class S>
struct Operation<AvgPool2d<Kernel, Stride, Padding>, Input, S> : OperationSizes {
    using Windows = PoolingWindows<AvgPool2d<Kernel, Stride, Padding>, Input>;

    /// to[i] = share of the sum of what the taps find.
    template <bool Back>
    struct Share {
        const S* from;
        S* to;
        BANTAM_HOST_DEVICE void operator()(std::int64_t i) const {
            S sum{};
            for (std::int64_t tap = 0; tap < Windows::taps; ++tap) {
                const std::int64_t found = Back ? Windows::element_over(i, tap) : Windows::element_under(i, tap);
                if (found >= 0) sum += from[found];
            }
            to[i] = sum * S(1.0 / (Kernel * Kernel));
        }
    };

    static void forward(const Pass<S>& pass, const Weights<S>&, const S* input, S* output, S*) {
        for_each_index(pass, pass.count * element_count(Windows::output), Share<false>{input, output});
    }
    static void backward(const Pass<S>& pass, const Weights<S>&, const S*, const S*, const S* output_gradient,
                         S* input_gradient, S*) {
        if (input_gradient)
            for_each_index(pass, pass.count * element_count(Input), Share<true>{output_gradient, input_gradient});
    }
};

template <Shape Input, class S>
struct Operation<GlobalAveragePool, Input, S> : OperationSizes {
    static constexpr std::int64_t channels = Input.channels;
    static constexpr std::int64_t pixels = pixel_count(Input);

    struct Forward {
        const S* input;
        S* output;
        BANTAM_HOST_DEVICE void operator()(std::int64_t i) const {
            const S* first = input + i / channels * pixels * channels + i % channels;
            S sum{};
            for (std::int64_t pixel = 0; pixel < pixels; ++pixel) sum += first[pixel * channels];
            output[i] = sum * S(1.0 / static_cast<double>(pixels));
        }
    };
    struct Backward {
        const S* output_gradient;
        S* input_gradient;
        BANTAM_HOST_DEVICE void operator()(std::int64_t i) const {
            input_gradient[i] = output_gradient[i / (pixels * channels) * channels + i % channels] *
                                S(1.0 / static_cast<double>(pixels));
        }
    };

    static void forward(const Pass<S>& pass, const Weights<S>&, const S* input, S* output, S*) {
        for_each_index(pass, pass.count * channels, Forward{input, output});
    }
    static void backward(const Pass<S>& pass, const Weights<S>&, const S*, const S*, const S* output_gradient,
                         S* input_gradient, S*) {
        if (input_gradient)
            for_each_index(pass, pass.count * element_count(Input), Backward{output_gradient, input_gradient});
    }
};

}  // namespace bantam::cuda
