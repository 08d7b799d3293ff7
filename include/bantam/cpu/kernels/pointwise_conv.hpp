// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/core/shape.hpp>
#include <bantam/cpu/kernels/conv_operation.hpp>
#include <bantam/cpu/kernels/epilogue.hpp>
#include <bantam/cpu/kernels/gemm.hpp>
#include <bantam/cpu/kernels/source.hpp>
#include <bantam/cpu/runtime/operation.hpp>

#include <algorithm>

namespace bantam::cpu {

/// sums[channel] += Σ values[row][channel] over `rows` rows.
template <class S>
[[gnu::noinline]] void add_row_sums(Index rows, Index channels, const S* values, S* sums) {
    for (Index row = 0; row < rows; ++row)
        for (Index c = 0; c < channels; ++c) sums[c] += values[row * channels + c];
}

/// values[row][channel] += bias[channel] for `rows` rows.
template <class S>
[[gnu::noinline]] void add_bias(Index rows, Index channels, const S* bias, S* values) {
    for (Index row = 0; row < rows; ++row)
        for (Index c = 0; c < channels; ++c) values[row * channels + c] += bias[c];
}

/// Y[rows×Out] = X[rows×In] · Wᵀ + b, a row per position of the `Input` map: pointwise convolutions and linear
/// layers. Rows are processed in slices of at most `slice_rows`.
template <Shape Input, Index Out, bool HasBias, class S>
struct PointwiseKernel : OperationSizes {
    static constexpr Shape input = Input;
    static constexpr Shape output{Input.height, Input.width, Out};
    static constexpr Index positions = pixel_count(Input);
    static constexpr Index in = Input.channels;
    static constexpr Index weight_count = in * Out;
    static constexpr Index forward_panels = packed_panel_size<S>(in, Out);
    static constexpr Index packed_size = forward_panels + packed_panel_size<S>(Out, in);
    static constexpr Index partial_size = weight_count + (HasBias ? Out : 0);
    static constexpr Index slice_rows = 16 * tile_rows;
    static constexpr Index scratch_size = slice_rows * (2 * in + Out) + transposed_scratch_size<S>;

    static void prepare(const S* parameters, S* packed) {
        pack_panels(parameters, {1, 0}, {in, 1}, {Out, in}, packed);
        pack_panels(parameters, {1, 0}, {Out, in}, {in, 1}, packed + forward_panels);
    }

    template <RowSource Source, OutputEpilogue Epilogue>
    static void forward_chunk(Chunk chunk, const Weights<S>& weights, const Source& source, const Epilogue& epilogue,
                              S* scratch) {
        for_each_slice(chunk, [&](Index row, Index rows) {
            S* z = epilogue.output(row);
            multiply<false>(rows, Out, in, source.rows(row, rows, scratch), in, weights.packed, z, Out);
            // Not in registers: few networks need it, and every product with another epilogue is compiled by itself.
            if constexpr (HasBias) add_bias<S>(rows, Out, weights.parameters + weight_count, z);
            epilogue.store(row, rows, z);
        });
    }

    /// The output as rows on demand, see conv_operation.hpp.
    template <RowSource Source>
    class ConvSource {
        static constexpr Index slice = std::max<Index>(1, slice_rows / Input.width) * Input.width;

    public:
        static constexpr Index memory_size = slice * in;
        ConvSource(const Source& source, const Weights<S>& weights, Chunk, S* memory)
            : source_{source}, weights_{weights}, input_{memory} {}

        template <RegisterEpilogue<S> Epilogue>
        void rows(Index first, Index count, S* to, const Epilogue& epilogue) const {
            for (Index row = 0; row < count; row += slice) {
                const Index slice_count = std::min(slice, count - row);
                multiply<false>(slice_count, Out, in, source_.rows(first + row, slice_count, input_), in,
                                weights_.packed, to + row * Out, Out,
                                bias_epilogue<HasBias>(weights_.parameters + weight_count, epilogue));
            }
        }

    private:
        const Source& source_;
        const Weights<S>& weights_;
        S* input_;
    };

    template <RowSource Source, RowSource Gradient, RowEpilogue Epilogue>
    static void backward_chunk(Chunk chunk, const Weights<S>& weights, const Source& source, const Gradient& gradient,
                               const Epilogue& epilogue, S* partial, S* scratch) {
        S* z_gradient = scratch + slice_rows * in;
        S* x_gradient = z_gradient + slice_rows * Out;
        S* transposed_scratch = x_gradient + slice_rows * in;
        for_each_slice(chunk, [&](Index row, Index rows) {
            const S* x = source.rows(row, rows, scratch);
            const S* dz = gradient.rows(row, rows, z_gradient);
            multiply_transposed<Out>(in, rows, dz, Out, x, in, partial, in, transposed_scratch);
            if constexpr (HasBias) add_row_sums<S>(rows, Out, dz, partial + weight_count);
            if constexpr (!is_null_sink<Epilogue>) {
                multiply<false>(rows, in, Out, dz, Out, weights.packed + forward_panels, x_gradient, in);
                epilogue.store(row, rows, x_gradient);
            }
        });
    }

    static void reduce_gradient(const Pass<S>& pass, S* parameter_gradient) {
        add_gradient_partials(pass, partial_size, parameter_gradient);
    }

private:
    /// Calls `body(first row, rows)` for the slices of the chunk's rows.
    template <class Body>
    static void for_each_slice(Chunk chunk, Body&& body) {
        const Index end = (chunk.first + chunk.count) * positions;
        for (Index row = chunk.first * positions; row < end; row += slice_rows)
            body(row, std::min(slice_rows, end - row));
    }
};

template <Shape Input, Index Out, bool HasBias, class S>
struct PointwiseOperation : ConvOperation<PointwiseKernel<Input, Out, HasBias, S>, S> {};

}  // namespace bantam::cpu
