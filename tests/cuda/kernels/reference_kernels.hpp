// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/bfloat16.hpp>
#include <bantam/base/split_index.hpp>
#include <bantam/core/shape.hpp>
#include <bantam/cuda/kernels/epilogue.hpp>
#include <bantam/cuda/kernels/row_reduction.hpp>
#include <bantam/cuda/runtime/operation.hpp>

// What the tiled kernels are compared with: one thread per result, no shared memory.

namespace reference {

using bantam::Compute;
using bantam::Index;

/// ImplicitGemm with one thread per column and slice, each element summed in double.
template <class A, class B, class Epilogue, int Size, int Groups = 1>
struct ImplicitGemmByColumn {
    using ComputeType = Compute<typename Epilogue::Scalar>;
    A a;
    B b;
    Epilogue epilogue;
    Index rows, rows_per_slice;
    double* sums;

    BANTAM_HOST_DEVICE void operator()(Index i) const {
        const Index slice = i / Epilogue::channels;
        const int channel = static_cast<int>(i % Epilogue::channels);
        const auto column = epilogue.template columns<1>(channel);
        ComputeType sums_of_slice[bantam::cuda::sum_array_size<Epilogue>] = {};
        for (Index row = slice * rows_per_slice; row < rows && row < (slice + 1) * rows_per_slice; ++row) {
            double sum = 0;
            for (int k = 0; k < A::depth; ++k) {
                ComputeType value;
                a.template columns<1>(channel / Size, k).load(row, &value);
                sum += static_cast<double>(value) * static_cast<double>(b.at(channel / Size, k, channel % Size));
            }
            ComputeType value = static_cast<ComputeType>(sum);
            column.store(row, &value, sums_of_slice);
        }
        for (int v = 0; v < Epilogue::sum_count; ++v)
            sums[(slice * Epilogue::sum_count + v) * Epilogue::channels + channel] =
                static_cast<double>(sums_of_slice[v]);
    }
};

/// WeightGradient with one thread per element and slice, summed in double.
template <class Gradient, class A, int Size, int Groups = 1>
struct WeightGradientByElement {
    using ComputeType = typename A::ComputeType;
    Gradient output_gradient;
    A a;
    Index rows, rows_per_slice;
    ComputeType* partials;

    BANTAM_HOST_DEVICE void operator()(Index i) const {
        const int k = static_cast<int>(i % A::depth), n = static_cast<int>(i / A::depth % (Groups * Size));
        const Index slice = i / A::depth / (Groups * Size);
        const auto a_column = a.template columns<1>(n / Size, k);
        const auto gradient_column = output_gradient.template columns<1>(n);
        double sum = 0;
        for (Index row = slice * rows_per_slice; row < rows && row < (slice + 1) * rows_per_slice; ++row) {
            ComputeType gradient, value;
            gradient_column.load(row, &gradient);
            a_column.load(row, &value);
            sum += static_cast<double>(gradient) * static_cast<double>(value);
        }
        partials[i] = static_cast<ComputeType>(sum);
    }
};

/// result[value][column] = Σ over `rows` of term(row, column), in double.
template <class Term, class Result>
struct SumOfColumn {
    static constexpr int count = bantam::cuda::detail::value_count<bantam::cuda::detail::TermResult<Term>>;
    Term term;
    Index rows, size;
    Result* result;
    BANTAM_HOST_DEVICE void operator()(Index column) const {
        double sums[count]{};
        for (Index row = 0; row < rows; ++row) {
            const auto values = term(row, column);
            for (int v = 0; v < count; ++v) sums[v] += static_cast<double>(bantam::cuda::detail::value_at(values, v));
        }
        for (int v = 0; v < count; ++v) result[v * size + column] = static_cast<Result>(sums[v]);
    }
};
template <class Term, class Result>
void sum_over_rows(const bantam::cuda::Execution& execution, Index rows, Index size, const Term& term, Result* result) {
    bantam::cuda::for_each_index(execution, size, SumOfColumn<Term, Result>{term, rows, size, result});
}

/// output[sample][c] = scale · Σ over the sample's pixels of term(pixel, c).
template <bantam::Shape Map, class Term, class S>
struct SumOfSample {
    Term term;
    Compute<S> scale;
    S* output;
    BANTAM_HOST_DEVICE void operator()(Index i) const {
        constexpr Index pixels = pixel_count(Map);
        const bantam::SplitIndex<Map.channels> at{i};
        Compute<S> sum{};
        for (Index pixel = 0; pixel < pixels; ++pixel) sum += term(at.whole * pixels + pixel, at.rest);
        output[i] = S(sum * scale);
    }
};
template <bantam::Shape Map, class S, class Term>
void sum_samples(const bantam::cuda::Pass<S>& pass, const Term& term, Compute<S> scale, S* output) {
    for_each_index(pass, pass.count * Map.channels, SumOfSample<Map, Term, S>{term, scale, output});
}

}  // namespace reference
