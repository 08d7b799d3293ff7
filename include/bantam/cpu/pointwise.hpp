// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/core/shape.hpp>
#include <bantam/cpu/hooks.hpp>
#include <bantam/cpu/matrix_product.hpp>
#include <bantam/cpu/operation.hpp>

#include <algorithm>
#include <cstdint>

namespace bantam::cpu {

/// sums[channel] += Σ of `rows` rows.
template <class S>
void add_row_sums(std::int64_t rows, std::int64_t channels, const S* values, S* sums) {
    for (std::int64_t row = 0; row < rows; ++row)
        for (std::int64_t c = 0; c < channels; ++c) sums[c] += values[row * channels + c];
}

/// Y[rows×Out] = X[rows×In] · Wᵀ + b at every position: pointwise convolution and linear layers, block
/// of rows by block of rows.
template <std::int64_t Positions, std::int64_t In, std::int64_t Out, bool WithBias, class S>
struct PointwiseKernel : OperationSizes {
    static constexpr Shape input{1, Positions, In};
    static constexpr Shape output{1, Positions, Out};
    static constexpr std::int64_t weight_count = In * Out;
    static constexpr std::int64_t forward_panels = packed_size<S>(In, Out);
    static constexpr std::int64_t packed = forward_panels + packed_size<S>(Out, In);
    static constexpr std::int64_t partials = weight_count + (WithBias ? Out : 0);
    static constexpr std::int64_t block = 16 * tile_rows;
    static constexpr std::int64_t scratch = block * (2 * In + Out) + transposed_scratch<S>;

    static void prepare(const S* parameters, S* panels) {
        pack_panels(
            In, Out, [=](std::int64_t in, std::int64_t out) { return parameters[out * In + in]; }, panels);
        pack_panels(
            Out, In, [=](std::int64_t out, std::int64_t in) { return parameters[out * In + in]; },
            panels + forward_panels);
    }

    template <class Body>
    static void for_each_row_block(Chunk chunk, Body&& body) {
        const std::int64_t end = (chunk.first + chunk.count) * Positions;
        for (std::int64_t row = chunk.first * Positions; row < end; row += block)
            body(row, std::min(block, end - row));
    }

    template <class Source, class Wrote>
    static void forward_chunk(Chunk chunk, const Weights<S>& weights, const Source& source, S* z, Wrote&& wrote,
                              S* scratch_here) {
        for_each_row_block(chunk, [&](std::int64_t row, std::int64_t rows) {
            multiply<false>(rows, Out, In, source.rows(row, rows, scratch_here), In, weights.packed, z + row * Out, Out,
                            after_bias<WithBias>(weights.parameters + weight_count, AsSummed<S>{}));
            wrote(row, rows);
        });
    }

    /// See hooks.hpp; `Line` positions are a line of the map.
    template <class Source, std::int64_t Line = Positions>
    class Stream {
        static constexpr std::int64_t rows_at_once = std::max<std::int64_t>(1, block / Line) * Line;

    public:
        static constexpr std::int64_t memory = rows_at_once * In;
        Stream(const Source& source, const Weights<S>& weights, Chunk, S* memory_here)
            : source_{source}, weights_{weights}, input_{memory_here} {}

        template <class Finish>
        void rows(std::int64_t first, std::int64_t count, S* to, const Finish& finish) const {
            for (std::int64_t row = 0; row < count; row += rows_at_once) {
                const std::int64_t rows_here = std::min(rows_at_once, count - row);
                multiply<false>(rows_here, Out, In, source_.rows(first + row, rows_here, input_), In, weights_.packed,
                                to + row * Out, Out,
                                after_bias<WithBias>(weights_.parameters + weight_count, finish));
            }
        }

    private:
        const Source& source_;
        const Weights<S>& weights_;
        S* input_;
    };

    template <class Source, class Gradient, class Sink>
    static void backward_chunk(Chunk chunk, const Weights<S>& weights, const Source& source,
                               const Gradient& gradient, const Sink& sink, S* partial, S* scratch_here) {
        S* z_gradient = scratch_here + block * In;
        S* x_gradient = z_gradient + block * Out;
        S* panels = x_gradient + block * In;
        for_each_row_block(chunk, [&](std::int64_t row, std::int64_t rows) {
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
        add_partials(pass, pass.partials, partials, partials, parameter_gradient);
    }
};

template <std::int64_t Positions, std::int64_t In, std::int64_t Out, bool WithBias, class S>
struct PointwiseOperation : HookedOperation<PointwiseKernel<Positions, In, Out, WithBias, S>, S> {};

}  // namespace bantam::cpu
