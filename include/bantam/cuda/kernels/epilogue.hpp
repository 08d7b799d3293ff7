// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/bfloat16.hpp>
#include <bantam/base/host_device.hpp>
#include <bantam/base/index.hpp>
#include <bantam/cuda/kernels/norm_coefficients.hpp>
#include <bantam/cuda/runtime/vector_access.hpp>
#include <bantam/exec/activation_functions.hpp>

#include <type_traits>

namespace bantam::cuda {

// A convolution reads its input and its output's gradient from a source and hands what it makes to a sink, so that
// the layers around it need no trip to memory of their own. Both know maps [row][channel], where a row is a position
// counted over the samples, and are asked for `Count` neighboring channels at a time:
//
// - `source.columns<Count>(first)` holds what these channels need; its `at(row, values)` gives their values.
// - `sink.columns<Count>(first)` likewise; its `put(row, values, totals)` takes values and adds to
//   `totals[sum][channel]` what the sink sums up over all rows, `Sink::sum_count` values a channel.
//
// `first` is a multiple of `Count`.

/// Room for what a sink sums up of a channel: an array has one element at least.
template <class Sink>
inline constexpr int epilogue_sums = Sink::sum_count > 0 ? Sink::sum_count : 1;

template <class L, int Count>
BANTAM_HOST_DEVICE void load_channels(const L* from, int first, L (&to)[Count]) {
    BANTAM_CUDA_UNROLL
    for (int j = 0; j < Count; ++j) to[j] = from[first + j];
}

/// A map as it lies in memory.
template <Index Channels, class S>
struct MemorySource {
    using Scalar = S;
    static constexpr int channels = Channels;
    const S* values;

    template <int Count>
    struct Columns {
        const S* values;
        BANTAM_HOST_DEVICE void at(Index row, Compute<S>* to) const {
            load_values<Count, Channels % Count == 0>(values + row * Channels, to);
        }
    };
    template <int Count>
    BANTAM_HOST_DEVICE Columns<Count> columns(int first) const {
        return {values + first};
    }
};

/// The map behind a batch norm and its activation, made of the one before them.
template <class Act, Index Channels, class S>
struct NormActSource {
    using Scalar = S;
    using Number = Compute<S>;
    static constexpr int channels = Channels;
    const S* values;
    NormCoefficients<S> norm;

    template <int Count>
    struct Columns {
        const S* values;
        Number scale[Count], shift[Count];
        BANTAM_HOST_DEVICE void at(Index row, Number* to) const {
            load_values<Count, Channels % Count == 0>(values + row * Channels, to);
            BANTAM_CUDA_UNROLL
            for (int j = 0; j < Count; ++j) to[j] = exec::ActivationFunction<Act>::value(to[j] * scale[j] + shift[j]);
        }
    };
    template <int Count>
    BANTAM_HOST_DEVICE Columns<Count> columns(int first) const {
        Columns<Count> own;
        own.values = values + first;
        load_channels(norm.scale(), first, own.scale);
        load_channels(norm.shift(), first, own.shift);
        return own;
    }
};

/// dL/d(norm's input) = scale · g + slope · z + offset, where g = dL/d(norm's output): `gradient` as it is, or where
/// `Act` is not Identity, its product with the activation's derivative. `gradient` has one row for `Pixels` rows of z
/// that share it evenly, as behind a global average.
template <class Act, Index Channels, class S, Index Pixels = 1>
struct NormGradientSource {
    using Scalar = S;
    using Number = Compute<S>;
    static constexpr int channels = Channels;
    const S *gradient, *z;
    NormCoefficients<S> norm;

    template <int Count>
    struct Columns {
        const S *gradient, *z;
        Number scale[Count], shift[Count], slope[Count], offset[Count];
        BANTAM_HOST_DEVICE void at(Index row, Number* to) const {
            constexpr bool aligned = Channels % Count == 0;
            Number x[Count];
            load_values<Count, aligned>(gradient + row / Pixels * Channels, to);
            load_values<Count, aligned>(z + row * Channels, x);
            BANTAM_CUDA_UNROLL
            for (int j = 0; j < Count; ++j) {
                if constexpr (Pixels > 1) to[j] *= Number(1.0 / static_cast<double>(Pixels));
                to[j] *= exec::ActivationFunction<Act>::derivative(x[j] * scale[j] + shift[j]);
                to[j] = to[j] * scale[j] + x[j] * slope[j] + offset[j];
            }
        }
    };
    template <int Count>
    BANTAM_HOST_DEVICE Columns<Count> columns(int first) const {
        Columns<Count> own;
        own.gradient = gradient + first;
        own.z = z + first;
        load_channels(norm.scale(), first, own.scale);
        load_channels(norm.shift(), first, own.shift);
        load_channels(norm.slope(), first, own.slope);
        load_channels(norm.offset(), first, own.offset);
        return own;
    }
};

/// `Count` channels' biases, which begin the sums of a convolution that has any.
template <bool WithBias, int Count, class Number>
BANTAM_HOST_DEVICE void load_bias(const Number* bias, int first, Number (&to)[Count]) {
    BANTAM_CUDA_UNROLL
    for (int j = 0; j < Count; ++j) to[j] = WithBias ? bias[first + j] : Number(0);
}

/// Writes to memory, with the bias that the convolution has.
template <bool WithBias, Index Channels, class S>
struct PlainSink {
    using Scalar = S;
    using Number = Compute<S>;
    static constexpr int channels = Channels;
    static constexpr int sum_count = 0;
    S* to;
    const Number* bias = nullptr;

    template <int Count>
    struct Columns {
        S* to;
        Number bias[Count];
        BANTAM_HOST_DEVICE void put(Index row, Number* values, Number*) const {
            BANTAM_CUDA_UNROLL
            for (int j = 0; j < Count; ++j)
                if constexpr (WithBias) values[j] += bias[j];
            store_values<Count, Channels % Count == 0>(values, to + row * Channels);
        }
    };
    template <int Count>
    BANTAM_HOST_DEVICE Columns<Count> columns(int first) const {
        Columns<Count> own;
        own.to = to + first;
        load_bias<WithBias>(bias, first, own.bias);
        return own;
    }
};

/// The same, and sums what the batch norm behind needs: z − origin and its square. The origins are near the batch's
/// means, so that differences to them do not cancel.
template <bool WithBias, Index Channels, class S>
struct MomentsEpilogue {
    using Scalar = S;
    using Number = Compute<S>;
    static constexpr int channels = Channels;
    static constexpr int sum_count = 2;
    S* to;
    const Number *bias, *origins;

    template <int Count>
    struct Columns {
        typename PlainSink<WithBias, Channels, S>::template Columns<Count> plain;
        Number origin[Count];
        BANTAM_HOST_DEVICE void put(Index row, Number* values, Number* totals) const {
            plain.put(row, values, nullptr);
            BANTAM_CUDA_UNROLL
            for (int j = 0; j < Count; ++j) {
                const Number difference = values[j] - origin[j];
                totals[j] += difference;
                totals[Count + j] += difference * difference;
            }
        }
    };
    template <int Count>
    BANTAM_HOST_DEVICE Columns<Count> columns(int first) const {
        Columns<Count> own;
        own.plain = PlainSink<WithBias, Channels, S>{to, bias}.template columns<Count>(first);
        load_channels(origins, first, own.origin);
        return own;
    }
};

/// In inference: applies the norm and the activation behind the convolution, and writes what they give.
template <class Act, bool WithBias, Index Channels, class S>
struct NormActEpilogue {
    using Scalar = S;
    using Number = Compute<S>;
    static constexpr int channels = Channels;
    static constexpr int sum_count = 0;
    S* to;
    const Number* bias;
    NormCoefficients<S> norm;

    template <int Count>
    struct Columns {
        S* to;
        Number scale[Count], shift[Count];
        BANTAM_HOST_DEVICE void put(Index row, Number* values, Number*) const {
            BANTAM_CUDA_UNROLL
            for (int j = 0; j < Count; ++j)
                values[j] = exec::ActivationFunction<Act>::value(values[j] * scale[j] + shift[j]);
            store_values<Count, Channels % Count == 0>(values, to + row * Channels);
        }
    };
    template <int Count>
    BANTAM_HOST_DEVICE Columns<Count> columns(int first) const {
        Columns<Count> own;
        own.to = to + first;
        load_channels(norm.scale(), first, own.scale);
        load_channels(norm.shift(), first, own.shift);
        Number biases[Count];
        load_bias<WithBias>(bias, first, biases);
        BANTAM_CUDA_UNROLL
        for (int j = 0; j < Count; ++j) own.shift[j] += biases[j] * own.scale[j];
        return own;
    }
};

/// Takes dL/d(input) of a stage to dL/d(norm's output) of the stage before, through its activation, and sums what
/// that norm needs on the way back: g and g · (z − mean).
template <class Act, Index Channels, class S>
struct ActBackwardEpilogue {
    using Scalar = S;
    using Number = Compute<S>;
    static constexpr int channels = Channels;
    static constexpr int sum_count = 2;
    S* to;
    const S* z;
    NormCoefficients<S> norm;

    template <int Count>
    struct Columns {
        S* to;
        const S* z;
        Number scale[Count], shift[Count], mean[Count];
        BANTAM_HOST_DEVICE void put(Index row, Number* values, Number* totals) const {
            constexpr bool aligned = Channels % Count == 0;
            Number x[Count];
            load_values<Count, aligned>(z + row * Channels, x);
            BANTAM_CUDA_UNROLL
            for (int j = 0; j < Count; ++j)
                values[j] *= exec::ActivationFunction<Act>::derivative(x[j] * scale[j] + shift[j]);
            store_values<Count, aligned>(values, to + row * Channels);
            BANTAM_CUDA_UNROLL
            for (int j = 0; j < Count; ++j) {
                totals[j] += values[j];
                totals[Count + j] += values[j] * (x[j] - mean[j]);
            }
        }
    };
    template <int Count>
    BANTAM_HOST_DEVICE Columns<Count> columns(int first) const {
        Columns<Count> own;
        own.to = to + first;
        own.z = z + first;
        load_channels(norm.scale(), first, own.scale);
        load_channels(norm.shift(), first, own.shift);
        load_channels(norm.mean(), first, own.mean);
        return own;
    }
};

/// Takes nothing: where nobody wants dL/d(input).
template <Index Channels, class S>
struct NullSink {
    using Scalar = S;
    using Number = Compute<S>;
    static constexpr int channels = Channels;
    static constexpr int sum_count = 0;

    template <int Count>
    struct Columns {
        BANTAM_HOST_DEVICE void put(Index, Number*, Number*) const {}
    };
    template <int Count>
    BANTAM_HOST_DEVICE Columns<Count> columns(int) const {
        return {};
    }
};
template <class Sink>
inline constexpr bool is_null_sink = false;
template <Index Channels, class S>
inline constexpr bool is_null_sink<NullSink<Channels, S>> = true;

/// A term of a sum over rows: what a source gives.
template <class Source>
struct SourceTerm {
    Source source;
    BANTAM_HOST_DEVICE Compute<typename Source::Scalar> operator()(Index row, Index c) const {
        Compute<typename Source::Scalar> value;
        source.template columns<1>(static_cast<int>(c)).at(row, &value);
        return value;
    }
};

}  // namespace bantam::cuda
