// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/base/split_index.hpp>
#include <bantam/cuda/runtime/operation.hpp>
#include <bantam/layers/resampling.hpp>

namespace bantam::cuda {

namespace detail {

/// to[row][column] = Σ weight(row, y) · weight(column, x) · from[y][x] of each sample, one element each.
template <class Rows, class Columns, Index Channels, class S>
struct Resample {
    const S* from;
    S* to;
    BANTAM_HOST_DEVICE void operator()(Index i) const {
        using Weight = Compute<S>;
        const SplitIndex<Channels> in_pixel{i};
        const SplitIndex<Columns::outputs> in_row{in_pixel.whole};
        const SplitIndex<Rows::outputs> in_batch{in_row.whole};
        const Index first_row = Rows::first_input(in_batch.rest), first_column = Columns::first_input(in_row.rest);
        Weight sum{};
        for (Index y = first_row; y < first_row + Rows::most_inputs && y < Rows::inputs; ++y) {
            const auto of_row = Rows::template weight<Weight>(in_batch.rest, y);
            if (of_row == Weight(0)) continue;
            const S* const line = from + (in_batch.whole * Rows::inputs + y) * Columns::inputs * Channels;
            for (Index x = first_column; x < first_column + Columns::most_inputs && x < Columns::inputs; ++x) {
                const auto weight = of_row * Columns::template weight<Weight>(in_row.rest, x);
                // A pixel without a weight has no part in the sum, whatever it is.
                if (weight != Weight(0)) sum += weight * Weight(line[x * Channels + in_pixel.rest]);
            }
        }
        to[i] = S(sum);
    }
};

}  // namespace detail

template <ResamplingLayer L, Shape Input, class S>
struct Operation<L, Input, S> : OperationSizes {
    using Rows = typename L::template Rows<Input.height>;
    using Columns = typename L::template Columns<Input.width>;

    static void forward(const Pass<S>& pass, const Weights<S>&, const S* input, S* output, S*) {
        for_each_index(pass, pass.count * element_count(L::output_shape(Input)),
                       detail::Resample<Rows, Columns, Input.channels, S>{input, output});
    }
    static void backward(const Pass<S>& pass, const Weights<S>&, const S*, const S*, const S* output_gradient,
                         S* input_gradient, Compute<S>*) {
        if (input_gradient)
            for_each_index(pass, pass.count * element_count(Input),
                           detail::Resample<TransposedAxis<Rows>, TransposedAxis<Columns>, Input.channels, S>{
                               output_gradient, input_gradient});
    }
};

}  // namespace bantam::cuda
