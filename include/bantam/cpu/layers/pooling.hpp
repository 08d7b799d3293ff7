// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/cpu/runtime/operation.hpp>
#include <bantam/cpu/runtime/packet.hpp>
#include <bantam/layers/pooling.hpp>

#include <algorithm>
#include <limits>

namespace bantam::cpu {

/// Visits the windows of a pooling layer.
template <class Pool, Shape Input>
struct PoolingWindows {
    using Geometry = ConvGeometry<Input, typename Pool::Window>;
    static constexpr Shape output = Pool::output_shape(Input);

    /// Calls `body(output pixel, input pixel, tap)` for each position inside the map of sample `n`'s windows.
    template <class Body>
    static void for_each_tap(Index n, Body&& body) {
        for (Index y = 0; y < output.height; ++y)
            for (Index x = 0; x < output.width; ++x)
                for (int tap = 0; tap < Geometry::taps; ++tap) {
                    const Index in_y = Geometry::Rows::input_position(y, Index{tap / Pool::kernel_size.width});
                    const Index in_x = Geometry::Columns::input_position(x, Index{tap % Pool::kernel_size.width});
                    if (!Geometry::row_inside(in_y) || !Geometry::column_inside(in_x)) continue;
                    body((n * output.height + y) * output.width + x, (n * Input.height + in_y) * Input.width + in_x,
                         tap);
                }
    }
};

template <auto KernelSize, auto Stride, auto Padding, Shape Input, class S>
struct Operation<MaxPool2d<KernelSize, Stride, Padding>, Input, S> : OperationSizes {
    using Windows = PoolingWindows<MaxPool2d<KernelSize, Stride, Padding>, Input>;
    static constexpr Index channels = Input.channels;
    static constexpr Index out_elements = element_count(Windows::output);

    /// The tap of each output's largest value.
    static constexpr Index saved_per_sample(bool training) { return training ? out_elements : 0; }

    static void forward(const Pass<S>& pass, const Weights<S>&, const S* input, S* output, S* argmax) {
        for_each_chunk(pass, [&](Chunk chunk, S*) {
            std::fill(output + chunk.first * out_elements, output + (chunk.first + chunk.count) * out_elements,
                      -std::numeric_limits<S>::infinity());
            for (Index n = chunk.first; n < chunk.first + chunk.count; ++n)
                Windows::for_each_tap(n, [&](Index to, Index from, int tap) {
                    for_each_vector<S>(channels, [&](Index c, auto fetch, auto put) {
                        const Vector<S> best = fetch(output + to * channels + c);
                        const Vector<S> value = fetch(input + from * channels + c);
                        // The first of equal values is chosen, as in PyTorch; a NaN always is, so that it is not
                        // hidden.
                        const auto better = (value > best) | (value != value);
                        put(output + to * channels + c, better ? value : best);
                        if (!pass.training) return;
                        S* argmax_at = argmax + to * channels + c;
                        put(argmax_at, better ? broadcast(S(tap)) : fetch(argmax_at));
                    });
                });
        });
    }

    static void backward(const Pass<S>& pass, const Weights<S>&, const S*, const S* argmax, const S* output_gradient,
                         S* input_gradient, S*) {
        if (!input_gradient) return;
        for_each_chunk(pass, [&](Chunk chunk, S*) {
            std::fill(input_gradient + chunk.first * element_count(Input),
                      input_gradient + (chunk.first + chunk.count) * element_count(Input), S{0});
            for (Index n = chunk.first; n < chunk.first + chunk.count; ++n)
                Windows::for_each_tap(n, [&](Index from, Index to, int tap) {
                    for_each_vector<S>(channels, [&](Index c, auto fetch, auto put) {
                        const auto chosen = fetch(argmax + from * channels + c) == broadcast(S(tap));
                        S* gradient = input_gradient + to * channels + c;
                        const Vector<S> share = chosen ? fetch(output_gradient + from * channels + c) : Vector<S>{};
                        put(gradient, fetch(gradient) + share);
                    });
                });
        });
    }
};

template <auto KernelSize, auto Stride, auto Padding, Shape Input, class S>
struct Operation<AvgPool2d<KernelSize, Stride, Padding>, Input, S> : OperationSizes {
    using Windows = PoolingWindows<AvgPool2d<KernelSize, Stride, Padding>, Input>;
    static constexpr Index channels = Input.channels;
    static constexpr Index out_elements = element_count(Windows::output);
    static constexpr double share = 1.0 / Windows::Geometry::taps;

    /// to[…] += from[…] / taps
    static void add_share(const S* from, S* to) {
        for_each_packet<S, channels>([&]<int Width>(Index c) {
            store_packet<S, Width>(to + c, load_packet<S, Width>(to + c) + S(share) * load_packet<S, Width>(from + c));
        });
    }

    static void forward(const Pass<S>& pass, const Weights<S>&, const S* input, S* output, S*) {
        for_each_chunk(pass, [&](Chunk chunk, S*) {
            std::fill(output + chunk.first * out_elements, output + (chunk.first + chunk.count) * out_elements, S{0});
            for (Index n = chunk.first; n < chunk.first + chunk.count; ++n)
                Windows::for_each_tap(
                    n, [&](Index to, Index from, int) { add_share(input + from * channels, output + to * channels); });
        });
    }

    static void backward(const Pass<S>& pass, const Weights<S>&, const S*, const S*, const S* output_gradient,
                         S* input_gradient, S*) {
        if (!input_gradient) return;
        for_each_chunk(pass, [&](Chunk chunk, S*) {
            std::fill(input_gradient + chunk.first * element_count(Input),
                      input_gradient + (chunk.first + chunk.count) * element_count(Input), S{0});
            for (Index n = chunk.first; n < chunk.first + chunk.count; ++n)
                Windows::for_each_tap(n, [&](Index from, Index to, int) {
                    add_share(output_gradient + from * channels, input_gradient + to * channels);
                });
        });
    }
};

template <Shape Input, class S>
struct Operation<GlobalAveragePool, Input, S> : OperationSizes {
    static constexpr Index channels = Input.channels;
    static constexpr double share = 1.0 / static_cast<double>(pixel_count(Input));

    static void forward(const Pass<S>& pass, const Weights<S>&, const S* input, S* output, S*) {
        for_each_chunk(pass, [&](Chunk chunk, S*) {
            for (Index n = chunk.first; n < chunk.first + chunk.count; ++n)
                for_each_packet<S, channels>([&]<int Width>(Index c) {
                    Packet<S, Width> sum = Packet<S, Width>::Zero();
                    for (Index pixel = 0; pixel < pixel_count(Input); ++pixel)
                        sum += load_packet<S, Width>(input + (n * pixel_count(Input) + pixel) * channels + c);
                    store_packet<S, Width>(output + n * channels + c, sum * S(share));
                });
        });
    }

    static void backward(const Pass<S>& pass, const Weights<S>&, const S*, const S*, const S* output_gradient,
                         S* input_gradient, S*) {
        if (!input_gradient) return;
        for_each_chunk(pass, [&](Chunk chunk, S*) {
            for (Index n = chunk.first; n < chunk.first + chunk.count; ++n)
                for (Index pixel = 0; pixel < pixel_count(Input); ++pixel)
                    for_each_packet<S, channels>([&]<int Width>(Index c) {
                        store_packet<S, Width>(input_gradient + (n * pixel_count(Input) + pixel) * channels + c,
                                               S(share) * load_packet<S, Width>(output_gradient + n * channels + c));
                    });
        });
    }
};

}  // namespace bantam::cpu
