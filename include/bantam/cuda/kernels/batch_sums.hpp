// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/bfloat16.hpp>
#include <bantam/base/chunk.hpp>
#include <bantam/base/host_device.hpp>
#include <bantam/base/index.hpp>
#include <bantam/cuda/kernels/row_reduction.hpp>
#include <bantam/cuda/runtime/batch_slices.hpp>
#include <bantam/cuda/runtime/device_communicator.hpp>
#include <bantam/cuda/runtime/execution.hpp>
#include <bantam/cuda/runtime/operation.hpp>

#include <algorithm>

namespace bantam::cuda {

// Sums over a batch, which one process computes or several ranks. They are added in the order of the chunks, so that
// their bits do not depend on the number of ranks.

namespace detail {

/// store(0, column, sums), where sums[value] = Σ over the chunks of all ranks of partials[chunk][value][column].
template <int Count, class Sum, class Store>
struct AddChunks {
    const Sum* partials;
    Index chunks, size;
    Store store;
    BANTAM_HOST_DEVICE void operator()(Index column) const {
        double sums[Count]{};
        for (Index chunk = 0; chunk < chunks; ++chunk)
            for (int v = 0; v < Count; ++v)
                sums[v] += static_cast<double>(partials[(chunk * Count + v) * size + column]);
        store(0, column, sums);
    }
};

/// to[slice · stride + order(value · size + column)] = sums[value]
template <int Count, class Result_, class Order>
struct StoreGradient {
    using Result = Result_;
    Result* to;
    Index size, stride;
    Order order;
    template <class Total>
    BANTAM_HOST_DEVICE void operator()(Index slice, Index column, const Total* sums) const {
        BANTAM_CUDA_UNROLL
        for (int v = 0; v < Count; ++v) to[slice * stride + order(v * size + column)] = static_cast<Result>(sums[v]);
    }
};

/// store(0, column, sums) of the whole batch: `reduce(store, per_chunk)` adds what this process computes, and ranks
/// exchange the sums of their chunks.
template <int Count, class S, class Store, class Reduce>
void reduce_over_ranks(const Pass<S>& pass, Index size, const Store& store, const Reduce& reduce) {
    if (!pass.ranks) return reduce(store, false);
    using Sum = typename ChunkSum<Store>::type;
    const BatchPart part = pass.part();
    const Index chunks = chunk_count(part.samples);
    Sum* const all = pass.ranks->template partials<Sum>();
    reduce(StoreSums<Count, Sum>{all + part.chunks.begin * Count * size, size}, true);
    all_gather(*pass.execution, pass.ranks->communicator(), all, Count * size,
               [chunks](Rank of) { return chunks_of_rank(chunks, of); });
    for_each_index(pass, size, AddChunks<Count, Sum, Store>{all, chunks, size, store});
}

/// The same for a gradient of parameters: ranks exchange it now or, with those of the other layers, when the
/// backward pass has ended.
template <int Count, class S, class Order, class Reduce>
void reduce_gradient(const Pass<S>& pass, Index size, Compute<S>* gradient, const Order& order, const Reduce& reduce) {
    const bool later = pass.ranks && pass.ranks->gradients();
    const StoreGradient<Count, Compute<S>, Order> store{gradient, size, later ? pass.ranks->gradient_size() : 0, order};
    if (later) return reduce(store, true);
    reduce_over_ranks<Count>(pass, size, store, reduce);
}

}  // namespace detail

/// The order in which a gradient is summed is that of the parameter.
struct InOrder {
    BANTAM_HOST_DEVICE Index operator()(Index i) const { return i; }
};

/// The slices in which a kernel of this pass adds `rows`, which are those of this process.
template <class S>
BatchSlices slices_of(const Pass<S>& pass, Index rows, Index unit, Index most = max_slices) {
    return BatchSlices::of(pass.part(), rows / std::max<Index>(pass.count, 1), unit, most);
}

/// Calls store(0, column, sums) for every column below `size`, where sums[value] = Σ over the whole batch of
/// partials[slice][value][column]. This process has computed `slices` of slices_of.
template <int Count, class S, class Store>
void reduce_slices(const Pass<S>& pass, Index slices, Index size, const double* partials, const Store& store) {
    detail::reduce_over_ranks<Count>(pass, size, store, [&](const auto& to, bool per_chunk) {
        detail::reduce_slices<Count>(*pass.execution, pass.part(), slices, size, partials, to, per_chunk);
    });
}

/// gradient[order(column)] = Σ over the whole batch of partials[slice][column], for every column below `size`.
template <class S, class Total, class Order = InOrder>
void sum_slices(const Pass<S>& pass, Index slices, Index size, const Total* partials, Compute<S>* gradient,
                const Order& order = {}) {
    detail::reduce_gradient<1>(pass, size, gradient, order, [&](const auto& to, bool per_chunk) {
        detail::reduce_slices<1>(*pass.execution, pass.part(), slices, size, partials, to, per_chunk);
    });
}

/// Calls store(0, column, sums) for every column below `size`, where sums[value] = Σ over the rows of the whole batch
/// of term(row, column), a scalar or Values; `rows` are those of this process. `partials` is memory for max_slices ·
/// values · size totals.
template <class S, class Total, class Term, class Store>
void reduce_rows(const Pass<S>& pass, Index rows, Index size, const Term& term, Total* partials, const Store& store) {
    detail::reduce_over_ranks<detail::value_count<detail::TermResult<Term>>>(
        pass, size, store, [&](const auto& to, bool per_chunk) {
            detail::reduce_rows(*pass.execution, pass.part(), rows / std::max<Index>(pass.count, 1), size, term,
                                partials, to, per_chunk);
        });
}

/// gradient[value · size + column] = Σ over the rows of the whole batch of term(row, column); arguments as in
/// reduce_rows.
template <class S, class Total, class Term>
void sum_over_rows(const Pass<S>& pass, Index rows, Index size, const Term& term, Total* partials,
                   Compute<S>* gradient) {
    detail::reduce_gradient<detail::value_count<detail::TermResult<Term>>>(
        pass, size, gradient, InOrder{}, [&](const auto& to, bool per_chunk) {
            detail::reduce_rows(*pass.execution, pass.part(), rows / std::max<Index>(pass.count, 1), size, term,
                                partials, to, per_chunk);
        });
}

}  // namespace bantam::cuda
