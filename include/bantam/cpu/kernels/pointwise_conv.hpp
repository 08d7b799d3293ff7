// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/core/shape.hpp>
#include <bantam/cpu/kernels/conv_operation.hpp>
#include <bantam/cpu/kernels/gemm.hpp>
#include <bantam/cpu/runtime/operation.hpp>

#include <algorithm>

namespace bantam::cpu {

/// sums[channel] += Σ of `rows` rows.
template <class S>
void add_row_sums(Index rows, Index channels, const S* values, S* sums) {
    for (Index row = 0; row < rows; ++row)
        for (Index c = 0; c < channels; ++c) sums[c] += values[row * channels + c];
}

/// Y[rows×Out] = X[rows×In] · Wᵀ + b at every position: pointwise convolution and linear layers, block
/// of rows by block of rows.
template <Index Positions, Index In, Index Out, bool WithBias, class S>
struct PointwiseKernel : OperationSizes {
    static constexpr Shape input{1, Positions, In};
    static constexpr Shape output{1, Positions, Out};
    static constexpr Index weight_count = In * Out;
    static constexpr Index forward_panels = packed_panel_size<S>(In, Out);
    static constexpr Index packed_size = forward_panels + packed_panel_size<S>(Out, In);
    static constexpr Index partial_size = weight_count + (WithBias ? Out : 0);
    static constexpr Index block = 16 * tile_rows;
    static constexpr Index scratch_size = block * (2 * In + Out) + transposed_scratch<S>;

    static void prepare(const S* parameters, S* panels) {
        pack_panels(In, Out, [=](Index in, Index out) { return parameters[out * In + in]; }, panels);
        pack_panels(Out, In, [=](Index out, Index in) { return parameters[out * In + in]; }, panels + forward_panels);
    }

    template <class Body>
    static void for_each_row_block(Chunk chunk, Body&& body) {
        const Index end = (chunk.first + chunk.count) * Positions;
        for (Index row = chunk.first * Positions; row < end; row += block) body(row, std::min(block, end - row));
    }

    template <class Source, class Wrote>
    static void forward_chunk(Chunk chunk, const Weights<S>& weights, const Source& source, S* z, Wrote&& wrote,
                              S* scratch_here) {
        for_each_row_block(chunk, [&](Index row, Index rows) {
            multiply<false>(rows, Out, In, source.rows(row, rows, scratch_here), In, weights.packed, z + row * Out, Out,
                            after_bias<WithBias>(weights.parameters + weight_count, IdentityEpilogue<S>{}));
            wrote(row, rows);
        });
    }

    /// See hooks.hpp; `Line` positions are a line of the map.
    template <class Source, Index Line = Positions>
    class Stream {
        static constexpr Index rows_at_once = std::max<Index>(1, block / Line) * Line;

    public:
        static constexpr Index memory = rows_at_once * In;
        Stream(const Source& source, const Weights<S>& weights, Chunk, S* memory_here)
            : source_{source}, weights_{weights}, input_{memory_here} {}

        template <class Finish>
        void rows(Index first, Index count, S* to, const Finish& finish) const {
            for (Index row = 0; row < count; row += rows_at_once) {
                const Index rows_here = std::min(rows_at_once, count - row);
                multiply<false>(rows_here, Out, In, source_.rows(first + row, rows_here, input_), In, weights_.packed,
                                to + row * Out, Out, after_bias<WithBias>(weights_.parameters + weight_count, finish));
            }
        }

    private:
        const Source& source_;
        const Weights<S>& weights_;
        S* input_;
    };

    template <class Source, class Gradient, class Sink>
    static void backward_chunk(Chunk chunk, const Weights<S>& weights, const Source& source, const Gradient& gradient,
                               const Sink& sink, S* partial, S* scratch_here) {
        S* z_gradient = scratch_here + block * In;
        S* x_gradient = z_gradient + block * Out;
        S* panels = x_gradient + block * In;
        for_each_row_block(chunk, [&](Index row, Index rows) {
            const S* x = source.rows(row, rows, scratch_here);
            const S* dz = gradient.rows(row, rows, z_gradient);
            multiply_transposed(Out, In, rows, dz, Out, x, In, partial, In, panels);
            if constexpr (WithBias) add_row_sums<S>(rows, Out, dz, partial + weight_count);
            if (!sink.wanted()) return;
            multiply<false>(rows, In, Out, dz, Out, weights.packed + forward_panels, x_gradient, In);
            sink(row, rows, x_gradient);
        });
    }

    /// Joins the chunks' partial sums.
    static void finish_gradient(const Pass<S>& pass, S* parameter_gradient) {
        add_partials(pass, pass.partials, partial_size, partial_size, parameter_gradient);
    }
};

template <Index Positions, Index In, Index Out, bool WithBias, class S>
struct PointwiseOperation : ConvOperation<PointwiseKernel<Positions, In, Out, WithBias, S>, S> {};

}  // namespace bantam::cpu
