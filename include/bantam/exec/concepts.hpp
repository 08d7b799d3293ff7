// SPDX-License-Identifier: MIT
#pragma once

// The contracts between kernels, layers and backends, the same for all backends.
//
// A convolution kernel reads maps through a Source (a load transform: the map in memory, or norm and activation
// applied while it is read) and hands its results to an Epilogue (a store transform: bias, norm, activation, sums).
// So neighboring layers are fused without maps in memory between them. Both state the type `Scalar` of the map and
// its `channels`; an epilogue also states how many sums per channel it keeps (`sum_count`). A row is one position of
// the batch with all its channels, counted over the samples. Backends read and write rows differently:
//
// - CPU: `source.rows(first, count, buffer)` gives whole rows, in `buffer` or where they are in memory already;
//   `epilogue.store(first, count, rows)` takes whole rows. Both are called in ascending order of rows.
// - CUDA: `source.columns<N>(first)` loads what N channels from `first` on need once per thread; `load(row, values)`
//   then gives their values. `epilogue.columns<N>(first)` likewise; `store(row, values, sums)` stores values and adds
//   to `sums[sum][channel]`.
//
// NullSink is the epilogue that stores nothing: kernels leave out its work with `if constexpr (is_null_sink<E>)`.
// A ConvKernel states its shapes and sizes. A Backend has the operations of layers and the passes of composites.

#include <bantam/base/bfloat16.hpp>
#include <bantam/base/index.hpp>
#include <bantam/core/sequence.hpp>
#include <bantam/core/shape.hpp>

#include <concepts>

namespace bantam::exec {

template <class T>
concept Source = requires {
    typename T::Scalar;
    { T::channels } -> std::convertible_to<Index>;
};

/// A source that gives whole rows (CPU).
template <class T>
concept RowSource = Source<T> && requires(const T& source, Index index, typename T::Scalar* buffer) {
    { source.rows(index, index, buffer) } -> std::same_as<const typename T::Scalar*>;
};

/// A source that gives neighboring channels (CUDA).
template <class T>
concept ColumnSource = Source<T> && requires(const T& source, Index row, Compute<typename T::Scalar>* values) {
    source.template columns<1>(0).load(row, values);
};

template <class T>
concept Epilogue = Source<T> && requires {
    { T::sum_count } -> std::convertible_to<int>;
};

/// Stores nothing.
template <Index Channels, class S>
struct NullSink {
    using Scalar = S;
    static constexpr int channels = static_cast<int>(Channels);
    static constexpr int sum_count = 0;
};
template <class T>
inline constexpr bool is_null_sink = false;
template <Index Channels, class S>
inline constexpr bool is_null_sink<NullSink<Channels, S>> = true;

/// An epilogue that takes whole rows (CPU).
template <class T>
concept RowEpilogue =
    Epilogue<T> && (is_null_sink<T> || requires(const T& epilogue, Index index, const typename T::Scalar* rows) {
        epilogue.store(index, index, rows);
    });

/// An epilogue that takes neighboring channels (CUDA).
template <class T>
concept ColumnEpilogue =
    Epilogue<T> && (is_null_sink<T> || requires(const T& epilogue, Index row, Compute<typename T::Scalar>* values) {
        epilogue.template columns<1>(0).store(row, values, values);
    });

/// A convolution kernel. It also has `forward…` and `backward…` functions, which are templates over sources and
/// epilogues and differ by backend; see conv_operation.hpp of each.
template <class K>
concept ConvKernel = requires {
    { K::input } -> std::convertible_to<Shape>;
    { K::output } -> std::convertible_to<Shape>;
    { K::weight_count } -> std::convertible_to<Index>;
    { K::scratch_size } -> std::convertible_to<Index>;
    { K::partial_size } -> std::convertible_to<Index>;
};

/// What runs a network, with maps stored as `S`.
template <class B, class S>
concept Backend = requires(const typename B::template Pass<S>& pass, const S* map, S* to, const Compute<S>* scale,
                           Compute<S>* sums, Index n) {
    { B::fused } -> std::convertible_to<bool>;
    typename B::template Weights<S>;
    typename B::template Operation<Identity, Shape{1, 1, 1}, S>;
    B::template add_scaled<1>(pass, n, map, map, scale, to);
    B::template sum_of_products<1>(pass, n, map, map, sums);
    B::template copy_channels<1>(pass, n, map, n, to, n);
    B::add_gradients(pass, n, scale, sums);
    B::accumulate(pass, true, Compute<S>(1), n, map, to);
    B::template multiply_gate<Shape{1, 1, 1}>(pass, map, map, map, to);
    B::template gate_gradient<Shape{1, 1, 1}>(pass, map, map, to);
};

}  // namespace bantam::exec
