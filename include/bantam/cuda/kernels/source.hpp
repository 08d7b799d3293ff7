// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/bfloat16.hpp>
#include <bantam/base/host_device.hpp>
#include <bantam/base/index.hpp>
#include <bantam/cuda/kernels/norm_coefficients.hpp>
#include <bantam/cuda/runtime/vector_access.hpp>
#include <bantam/exec/activation_functions.hpp>
#include <bantam/exec/concepts.hpp>

namespace bantam::cuda {

// A Source is where a kernel reads a map from: the load transform. It computes norm, activation or their derivative
// when a value is loaded, so that the result is never stored in memory.
//
// It satisfies exec::ColumnSource. Maps are [row][channel]; a row is one position, counted over the samples. A Source
// has
// - `Scalar`, the type that maps are stored in, and `channels`;
// - `columns<Count>(first)`: an object that holds, in registers, what the channels [first, first + Count) need.
//   `first` is a multiple of `Count`.
// - `columns<Count>(first).load(row, values)`: writes these channels' values in `row` to values[0 .. Count), as
//   Compute<Scalar>.
// It is copied into kernels, so it holds pointers to the device's memory and numbers only.

namespace detail {

/// to[j] = from[first + j], coefficients per channel.
template <class T, int Count>
BANTAM_HOST_DEVICE void load_channels(const T* from, int first, T (&to)[Count]) {
    BANTAM_CUDA_UNROLL
    for (int j = 0; j < Count; ++j) to[j] = from[first + j];
}

}  // namespace detail

/// x, as it is in memory
template <Index Channels, class S>
struct MemorySource {
    using Scalar = S;
    static constexpr int channels = Channels;
    const S* values;

    template <int Count>
    struct Columns {
        const S* values;
        BANTAM_HOST_DEVICE void load(Index row, Compute<S>* to) const {
            load_n<Count, Channels % Count == 0>(values + row * Channels, to);
        }
    };
    template <int Count>
    BANTAM_HOST_DEVICE Columns<Count> columns(int first) const {
        return {values + first};
    }
};

/// act(scale · z + shift): the map behind a batch norm and its activation, from z in front of them
template <class Act, Index Channels, class S>
struct NormActSource {
    using Scalar = S;
    using ComputeType = Compute<S>;
    static constexpr int channels = Channels;
    const S* z;
    NormCoefficients<S> norm;

    template <int Count>
    struct Columns {
        const S* z;
        ComputeType scale[Count], shift[Count];
        BANTAM_HOST_DEVICE void load(Index row, ComputeType* to) const {
            load_n<Count, Channels % Count == 0>(z + row * Channels, to);
            BANTAM_CUDA_UNROLL
            for (int j = 0; j < Count; ++j) to[j] = exec::ActivationFunction<Act>::value(to[j] * scale[j] + shift[j]);
        }
    };
    template <int Count>
    BANTAM_HOST_DEVICE Columns<Count> columns(int first) const {
        Columns<Count> columns;
        columns.z = z + first;
        detail::load_channels(norm.scale(), first, columns.scale);
        detail::load_channels(norm.shift(), first, columns.shift);
        return columns;
    }
};

/// dL/dz = scale · g + slope · z + offset with g = gradient · act'(scale · z + shift): the gradient in front of a batch
/// norm, from the gradient behind its activation (or behind the norm, with Identity as `Act`). One row of `gradient`
/// belongs to `Pixels` rows of z and is divided by `Pixels`, as behind a global average.
template <class Act, Index Channels, class S, Index Pixels = 1>
struct NormBackwardSource {
    using Scalar = S;
    using ComputeType = Compute<S>;
    static constexpr int channels = Channels;
    const S *gradient, *z;
    NormCoefficients<S> norm;

    template <int Count>
    struct Columns {
        const S *gradient, *z;
        ComputeType scale[Count], shift[Count], slope[Count], offset[Count];
        BANTAM_HOST_DEVICE void load(Index row, ComputeType* to) const {
            constexpr bool aligned = Channels % Count == 0;
            ComputeType x[Count];
            load_n<Count, aligned>(gradient + row / Pixels * Channels, to);
            load_n<Count, aligned>(z + row * Channels, x);
            BANTAM_CUDA_UNROLL
            for (int j = 0; j < Count; ++j) {
                if constexpr (Pixels > 1) to[j] *= ComputeType(1.0 / static_cast<double>(Pixels));
                to[j] *= exec::ActivationFunction<Act>::derivative(x[j] * scale[j] + shift[j]);
                to[j] = to[j] * scale[j] + x[j] * slope[j] + offset[j];
            }
        }
    };
    template <int Count>
    BANTAM_HOST_DEVICE Columns<Count> columns(int first) const {
        Columns<Count> columns;
        columns.gradient = gradient + first;
        columns.z = z + first;
        detail::load_channels(norm.scale(), first, columns.scale);
        detail::load_channels(norm.shift(), first, columns.shift);
        detail::load_channels(norm.slope(), first, columns.slope);
        detail::load_channels(norm.offset(), first, columns.offset);
        return columns;
    }
};

/// A source as the term of a sum over rows; see row_reduction.hpp.
template <exec::ColumnSource Source>
struct SourceTerm {
    Source source;
    BANTAM_HOST_DEVICE Compute<typename Source::Scalar> operator()(Index row, Index c) const {
        Compute<typename Source::Scalar> value;
        source.template columns<1>(static_cast<int>(c)).load(row, &value);
        return value;
    }
};

}  // namespace bantam::cuda
