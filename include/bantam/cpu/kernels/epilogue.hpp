// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/cpu/kernels/batch_norm.hpp>
#include <bantam/cpu/kernels/source.hpp>
#include <bantam/cpu/runtime/math.hpp>
#include <bantam/cpu/runtime/packet.hpp>
#include <bantam/cpu/runtime/simd.hpp>
#include <bantam/exec/activation_functions.hpp>
#include <bantam/exec/concepts.hpp>

#include <algorithm>
#include <concepts>

namespace bantam::cpu {

// An epilogue is what a kernel does with its results: the store transform (exec/concepts.hpp). There are two
// levels.
//
// A register epilogue transforms sums before they leave the registers: `epilogue.columns(channel, load)` reads
// with `load` what the channels from `channel` on need, and returns a function that maps a vector of sums to a
// vector of results. `epilogue.starting_at(channel)` is the epilogue with its channels counted from `channel`.
//
// A row epilogue takes rows (see source.hpp) that are complete, while they are in the cache: a kernel calls
// `epilogue.store(first, count, rows)` once for every row, in ascending order. It may keep `sum_count` sums per
// channel. The epilogue of a forward pass also says where its rows belong: the kernel computes them in place,
// at `epilogue.output(first)`, and then calls `store`. A kernel computes nothing for `NullSink`.

template <class T, class S>
concept RegisterEpilogue = requires(const T& epilogue, Index channel, const Vector<S>& sum) {
    { epilogue.starting_at(channel) } -> std::same_as<T>;
    { epilogue.columns(channel, load<S>)(sum) } -> std::convertible_to<Vector<S>>;
};

using exec::is_null_sink;
using exec::NullSink;
using exec::RowEpilogue;
template <class T>
concept OutputEpilogue = RowEpilogue<T> && requires(const T& epilogue, Index first) {
    { epilogue.output(first) } -> std::same_as<typename T::Scalar*>;
};

// ------------------------------------------------------------------------------ register epilogues

/// y = sum
template <class S>
struct IdentityEpilogue {
    IdentityEpilogue starting_at(Index) const { return *this; }
    template <class Load>
    auto columns(Index, Load&&) const {
        return [](const Vector<S>& sum) { return sum; };
    }
};

/// y = sum + bias
template <class S>
struct BiasEpilogue {
    const S* bias;

    BiasEpilogue starting_at(Index channel) const { return {bias + channel}; }
    template <class Load>
    auto columns(Index channel, Load&& load) const {
        return [bias_here = load(bias + channel)](const Vector<S>& sum) { return Vector<S>(sum + bias_here); };
    }
};

namespace detail {

/// act(x) of a vector register.
template <class Act, class S>
inline Vector<S> activate(const Vector<S>& x) {
#ifdef __CUDACC__
    // nvcc accepts no vector types in functions for host and device, which activation functions are.
    Packet<S, lanes<S>> packet;
    store<S>(packet.data(), x);
    packet = exec::ActivationFunction<Act>::value(packet);
    return load(packet.data());
#else
    return exec::ActivationFunction<Act>::value(x);
#endif
}

}  // namespace detail

/// y = act(scale · sum + shift), for activations that need few instructions
template <class Act, class S>
struct NormActEpilogue {
    const S *scale, *shift;

    NormActEpilogue starting_at(Index channel) const { return {scale + channel, shift + channel}; }
    template <class Load>
    auto columns(Index channel, Load&& load) const {
        return [scale_here = load(scale + channel), shift_here = load(shift + channel)](const Vector<S>& sum) {
            return detail::activate<Act, S>(sum * scale_here + shift_here);
        };
    }
};

/// y = second(first(sum))
template <class First, class Second>
struct ComposedEpilogue {
    First first;
    Second second;

    ComposedEpilogue starting_at(Index channel) const {
        return {first.starting_at(channel), second.starting_at(channel)};
    }
    template <class Load>
    auto columns(Index channel, Load&& load) const {
        return [first_here = first.columns(channel, load),
                second_here = second.columns(channel, load)](const auto& sum) { return second_here(first_here(sum)); };
    }
};

/// y = epilogue(sum + bias) where `HasBias`, else epilogue(sum)
template <bool HasBias, class S, RegisterEpilogue<S> Epilogue>
auto bias_epilogue([[maybe_unused]] const S* bias, const Epilogue& epilogue) {
    if constexpr (HasBias)
        return ComposedEpilogue<BiasEpilogue<S>, Epilogue>{{bias}, epilogue};
    else
        return epilogue;
}

// ----------------------------------------------------------------------------------- row epilogues

/// Stores rows in memory.
template <Index Channels, class S>
struct MemoryEpilogue {
    using Scalar = S;
    static constexpr Index channels = Channels;
    static constexpr int sum_count = 0;

    S* to;

    S* output(Index first) const { return to + first * Channels; }
    void store(Index first, Index count, const S* rows) const {
        if (rows != output(first)) std::copy(rows, rows + count * Channels, output(first));
    }
};

/// Stores z in memory; sums Σ(z − origin) and Σ(z − origin)², from which the norm behind computes its statistics.
template <Index Channels, class S>
struct MomentsEpilogue {
    using Scalar = S;
    static constexpr Index channels = Channels;
    static constexpr int sum_count = 2;

    S* to;
    const S* origin;
    double* totals;

    S* output(Index first) const { return to + first * Channels; }
    /// `rows` are in place, at `output(first)`.
    void store(Index, Index count, const S* rows) const {
        BatchNormKernel<Channels, S>::sum_moments(count, rows, origin, totals);
    }
};

/// g = dL/d(act(y)) · act'(y) with y = scale · z + shift: takes the gradient of a block's input through the
/// activation of the block before. Stores g; sums Σg and Σg · (z − mean) for the norm of that block.
template <class Act, Index Channels, class S>
struct ActBackwardEpilogue {
    using Scalar = S;
    static constexpr Index channels = Channels;
    static constexpr int sum_count = 2;

    NormActSource<Act, Channels, S> source;
    S* to;
    double* totals;

    void store(Index first, Index count, const S* rows) const {
        BatchNormKernel<Channels, S>::add_sums(
            0, count, totals, [&]<int Width>(Index row, Index c, Packet<S, Width>& sum, Packet<S, Width>& dot) {
                const Index i = (first + row) * Channels + c;
                const Packet<S, Width> g = load_packet<S, Width>(rows + row * Channels + c) *
                                           source.template derivative<Width>(first + row, c);
                store_packet<S, Width>(to + i, g);
                sum += g;
                dot += g * (load_packet<S, Width>(source.z + i) - load_packet<S, Width>(source.norm.mean + c));
            });
    }
};

}  // namespace bantam::cpu
