// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/core/layer.hpp>
#include <bantam/core/shape.hpp>
#include <bantam/core/tensor.hpp>
#include <bantam/cpu/runtime/operation.hpp>
#include <bantam/cpu/runtime/packet.hpp>

#include <limits>
#include <string_view>
#include <type_traits>

namespace bantam {

/// A map as deploy::Int8 stores it, in float: y = scale · saturate(⌊x / scale + 1/2⌋), with the range of the integer
/// `T`. Backward is the straight-through estimator (Bengio et al., 2013): the gradient passes where x is rounded to an
/// element of that range, and is 0 outside; behind an unsigned map, which stands for a ReLU, also where x is not
/// positive. PyTorch's fake_quantize_per_tensor_affine without a zero point computes the same, but for halves, which it
/// rounds to even. Tensors: scale [1], not trained.
template <class T>
struct FakeQuantize : Layer {
    static constexpr std::string_view name = "FakeQuantize";

    static constexpr TensorList tensors(Shape) {
        TensorList list;
        list.add(statistic_tensor("scale", 1, constant(1)));
        return list;
    }
};

namespace cpu {
namespace detail {

/// The integers of a packet, in floating point, before they are saturated.
template <class S, int Width>
Packet<S, Width> nearest_integers(const Packet<S, Width>& x, S inverse) {
    return (x * inverse + S(0.5)).floor();
}

template <class T, class S>
[[gnu::noinline]] void fake_quantize(Index count, S scale, const S* input, S* output) {
    const S inverse = S(1) / scale;
    for_each_packet<S>(count, [&]<int Width>(Index i) {
        const Packet<S, Width> integers = nearest_integers<S, Width>(load_packet<S, Width>(input + i), inverse);
        store_packet<S, Width>(
            output + i, integers.max(S(std::numeric_limits<T>::min())).min(S(std::numeric_limits<T>::max())) * scale);
    });
}

template <class T, class S>
[[gnu::noinline]] void fake_quantize_backward(Index count, S scale, const S* input, const S* output_gradient,
                                              S* input_gradient) {
    const S inverse = S(1) / scale;
    for_each_packet<S>(count, [&]<int Width>(Index i) {
        const Packet<S, Width> x = load_packet<S, Width>(input + i);
        const Packet<S, Width> integers = nearest_integers<S, Width>(x, inverse);
        const Packet<S, Width> gradient = load_packet<S, Width>(output_gradient + i);
        const Packet<S, Width> below = (integers > S(std::numeric_limits<T>::max())).select(S(0), gradient);
        if constexpr (std::is_unsigned_v<T>)
            store_packet<S, Width>(input_gradient + i, (x > S(0)).select(below, S(0)));
        else
            store_packet<S, Width>(input_gradient + i,
                                   (integers < S(std::numeric_limits<T>::min())).select(S(0), below));
    });
}

}  // namespace detail

template <class T, Shape Input, class S>
struct Operation<FakeQuantize<T>, Input, S> : OperationSizes {
    static constexpr Index elements = element_count(Input);

    static void forward(const Pass<S>& pass, const Weights<S>& weights, const S* input, S* output, S*) {
        for_each_chunk(pass, [&](Chunk chunk, S*) {
            const Index first = chunk.first * elements;
            detail::fake_quantize<T>(chunk.count * elements, weights.statistics[0], input + first, output + first);
        });
    }

    static void backward(const Pass<S>& pass, const Weights<S>& weights, const S* input, const S*,
                         const S* output_gradient, S* input_gradient, S*) {
        if (!input_gradient) return;
        for_each_chunk(pass, [&](Chunk chunk, S*) {
            const Index first = chunk.first * elements;
            detail::fake_quantize_backward<T>(chunk.count * elements, weights.statistics[0], input + first,
                                              output_gradient + first, input_gradient + first);
        });
    }
};

}  // namespace cpu
}  // namespace bantam
