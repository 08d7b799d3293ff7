// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/bfloat16.hpp>
#include <bantam/base/host_device.hpp>
#include <bantam/base/index.hpp>
#include <bantam/cuda/kernels/norm_coefficients.hpp>
#include <bantam/cuda/kernels/source.hpp>
#include <bantam/cuda/runtime/vector_access.hpp>
#include <bantam/exec/activation_functions.hpp>
#include <bantam/exec/concepts.hpp>

#include <type_traits>

namespace bantam::cuda {

// An Epilogue is what a kernel does with its results: the store transform. It adds the bias, applies norm and
// activation or sums statistics while the results are in registers.
//
// It satisfies exec::ColumnEpilogue. Maps are [row][channel]; a row is one position, counted over the samples. An
// Epilogue has
// - `Scalar`, the type that maps are stored in, `channels`, and `sum_count`, the sums that it keeps per channel;
// - `columns<Count>(first)`: an object that holds, in registers, what the channels [first, first + Count) need.
//   `first` is a multiple of `Count`.
// - `columns<Count>(first).store(row, values, sums)`: consumes values[0 .. Count), as Compute<Scalar>, of `row`, and
//   adds to sums[sum][0 .. Count). It may change `values`.
// A kernel stores every row once and writes the sums as [slice][sum][channel] to pass.sums.

using exec::is_null_sink;
using exec::NullSink;

/// The extent of an array for the sums of one channel: at least 1.
template <class Epilogue>
inline constexpr int sum_array_size = Epilogue::sum_count > 0 ? Epilogue::sum_count : 1;

/// y = sum
template <Index Channels, class S>
struct IdentityEpilogue {
    using Scalar = S;
    using ComputeType = Compute<S>;
    static constexpr int channels = Channels;
    static constexpr int sum_count = 0;
    S* to;

    template <int Count>
    struct Columns {
        S* to;
        BANTAM_HOST_DEVICE void store(Index row, ComputeType* values, ComputeType*) const {
            store_n<Count, Channels % Count == 0>(values, to + row * Channels);
        }
    };
    template <int Count>
    BANTAM_HOST_DEVICE Columns<Count> columns(int first) const {
        return {to + first};
    }
};

/// y = sum + bias
template <Index Channels, class S>
struct BiasEpilogue {
    using Scalar = S;
    using ComputeType = Compute<S>;
    static constexpr int channels = Channels;
    static constexpr int sum_count = 0;
    S* to;
    const ComputeType* bias;

    template <int Count>
    struct Columns {
        S* to;
        ComputeType bias[Count];
        BANTAM_HOST_DEVICE void store(Index row, ComputeType* values, ComputeType*) const {
            BANTAM_CUDA_UNROLL
            for (int j = 0; j < Count; ++j) values[j] += bias[j];
            store_n<Count, Channels % Count == 0>(values, to + row * Channels);
        }
    };
    template <int Count>
    BANTAM_HOST_DEVICE Columns<Count> columns(int first) const {
        Columns<Count> columns;
        columns.to = to + first;
        detail::load_channels(bias, first, columns.bias);
        return columns;
    }
};

/// BiasEpilogue where `WithBias`, else IdentityEpilogue; `bias` is not read then.
template <bool WithBias, Index Channels, class S>
BANTAM_HOST_DEVICE auto optional_bias_epilogue(S* to, [[maybe_unused]] const Compute<S>* bias) {
    if constexpr (WithBias)
        return BiasEpilogue<Channels, S>{to, bias};
    else
        return IdentityEpilogue<Channels, S>{to};
}

/// z = sum + bias (without `WithBias`: z = sum); sums Σ(z − origin) and Σ(z − origin)², from which the batch norm
/// behind computes its statistics. An origin near the batch's mean avoids cancellation.
template <bool WithBias, Index Channels, class S>
struct MomentsEpilogue {
    using Scalar = S;
    using ComputeType = Compute<S>;
    static constexpr int channels = Channels;
    static constexpr int sum_count = 2;
    S* to;
    const ComputeType *bias, *origins;

    template <int Count>
    struct Columns {
        using StoreColumns = typename std::conditional_t<WithBias, BiasEpilogue<Channels, S>,
                                                         IdentityEpilogue<Channels, S>>::template Columns<Count>;
        StoreColumns plain;
        ComputeType origin[Count];
        BANTAM_HOST_DEVICE void store(Index row, ComputeType* values, ComputeType* sums) const {
            plain.store(row, values, nullptr);
            BANTAM_CUDA_UNROLL
            for (int j = 0; j < Count; ++j) {
                const ComputeType difference = values[j] - origin[j];
                sums[j] += difference;
                sums[Count + j] += difference * difference;
            }
        }
    };
    template <int Count>
    BANTAM_HOST_DEVICE Columns<Count> columns(int first) const {
        Columns<Count> columns;
        columns.plain = optional_bias_epilogue<WithBias, Channels>(to, bias).template columns<Count>(first);
        detail::load_channels(origins, first, columns.origin);
        return columns;
    }
};

/// y = act(scale · (sum + bias) + shift): norm and activation behind a convolution, in inference
template <class Act, bool WithBias, Index Channels, class S>
struct NormActEpilogue {
    using Scalar = S;
    using ComputeType = Compute<S>;
    static constexpr int channels = Channels;
    static constexpr int sum_count = 0;
    S* to;
    const ComputeType* bias;
    NormCoefficients<S> norm;

    template <int Count>
    struct Columns {
        S* to;
        ComputeType scale[Count], shift[Count];
        BANTAM_HOST_DEVICE void store(Index row, ComputeType* values, ComputeType*) const {
            BANTAM_CUDA_UNROLL
            for (int j = 0; j < Count; ++j)
                values[j] = exec::ActivationFunction<Act>::value(values[j] * scale[j] + shift[j]);
            store_n<Count, Channels % Count == 0>(values, to + row * Channels);
        }
    };
    template <int Count>
    BANTAM_HOST_DEVICE Columns<Count> columns(int first) const {
        Columns<Count> columns;
        columns.to = to + first;
        detail::load_channels(norm.scale(), first, columns.scale);
        detail::load_channels(norm.shift(), first, columns.shift);
        // The bias moves the shift.
        BANTAM_CUDA_UNROLL
        for (int j = 0; j < Count; ++j)
            columns.shift[j] += (WithBias ? bias[first + j] : ComputeType(0)) * columns.scale[j];
        return columns;
    }
};

/// g = dL/d(act(y)) · act'(y) with y = scale · z + shift: takes the gradient of a block's input through the activation
/// of the block before. Stores g; sums Σg and Σg · (z − mean) for the norm of that block.
template <class Act, Index Channels, class S>
struct ActBackwardEpilogue {
    using Scalar = S;
    using ComputeType = Compute<S>;
    static constexpr int channels = Channels;
    static constexpr int sum_count = 2;
    S* to;
    const S* z;
    NormCoefficients<S> norm;

    template <int Count>
    struct Columns {
        S* to;
        const S* z;
        ComputeType scale[Count], shift[Count], mean[Count];
        BANTAM_HOST_DEVICE void store(Index row, ComputeType* values, ComputeType* sums) const {
            constexpr bool aligned = Channels % Count == 0;
            ComputeType x[Count];
            load_n<Count, aligned>(z + row * Channels, x);
            BANTAM_CUDA_UNROLL
            for (int j = 0; j < Count; ++j)
                values[j] *= exec::ActivationFunction<Act>::derivative(x[j] * scale[j] + shift[j]);
            store_n<Count, aligned>(values, to + row * Channels);
            BANTAM_CUDA_UNROLL
            for (int j = 0; j < Count; ++j) {
                sums[j] += values[j];
                sums[Count + j] += values[j] * (x[j] - mean[j]);
            }
        }
    };
    template <int Count>
    BANTAM_HOST_DEVICE Columns<Count> columns(int first) const {
        Columns<Count> columns;
        columns.to = to + first;
        columns.z = z + first;
        detail::load_channels(norm.scale(), first, columns.scale);
        detail::load_channels(norm.shift(), first, columns.shift);
        detail::load_channels(norm.mean(), first, columns.mean);
        return columns;
    }
};

/// Stores nothing. The columns of exec::NullSink.
struct NullColumns {
    template <class ComputeType>
    BANTAM_HOST_DEVICE void store(Index, ComputeType*, ComputeType*) const {}
};
/// epilogue.columns<Count>(first), also for NullSink: for kernels that compute its values on the way to others.
template <int Count, class Epilogue>
BANTAM_HOST_DEVICE auto epilogue_columns([[maybe_unused]] const Epilogue& epilogue, [[maybe_unused]] int first) {
    if constexpr (is_null_sink<Epilogue>)
        return NullColumns{};
    else
        return epilogue.template columns<Count>(first);
}

}  // namespace bantam::cuda
