// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/core/shape.hpp>
#include <bantam/cuda/kernels/row_reduction.hpp>
#include <bantam/cuda/runtime/execution.hpp>
#include <bantam/cuda/runtime/thread_block.hpp>
#include <bantam/exec/missing_operation.hpp>
#include <bantam/exec/operation.hpp>

#include <cstdint>
#include <source_location>
#include <string_view>

namespace bantam::cuda {

using exec::OperationSizes;
using exec::Weights;

/// What an operation knows of the pass it runs in.
template <class S>
struct Pass {
    Index count = 0;                      ///< samples in the batch
    bool training = false;                ///< batch statistics, dropout; forward keeps what backward needs
    const std::uint64_t* seed = nullptr;  ///< randomness of this step, on the device
    std::uint64_t stream = 0;             ///< randomness of this layer
    S* scratch = nullptr;                 ///< `Operation::scratch_size` scalars
    Compute<S>* partials = nullptr;       ///< `Operation::partial_size` numbers, `max_slices` times
    double* sums = nullptr;               ///< `Operation::sum_count` doubles, `max_slices` times
    const Execution* execution = nullptr;
};

/// The backend's name in error messages.
struct BackendName {
    static constexpr std::string_view name = "cuda";
};

/// How `L` runs on an `Input` shape: the interface of `cpu::Operation` with buffers on the device. Activations and
/// their gradients are kept as `S`; what is computed, weights, statistics and their gradients are Compute<S>.
template <class L, Shape Input, class S>
struct Operation : exec::MissingOperation<L, BackendName> {};

/// Calls `functor(i)` for every i below `count`, in no order.
template <class S, class Functor>
void for_each_index(const Pass<S>& pass, Index count, Functor functor,
                    const std::source_location& where = std::source_location::current()) {
    for_each_index(*pass.execution, count, functor, where);
}

/// Runs `kernel` in `count` blocks, in no order; see blocks.hpp.
template <class S, class Kernel>
void run_blocks(const Pass<S>& pass, Index count, const Kernel& kernel) {
    run_blocks(*pass.execution, count, kernel);
}

/// to[i] = from[i], rounded where `To` is the narrower type.
template <class From, class To>
struct Convert {
    const From* from;
    To* to;
    BANTAM_HOST_DEVICE void operator()(Index i) const { to[i] = To(from[i]); }
};

/// See rows.hpp.
template <class S, class Total, class Term, class Result>
void sum_over_rows(const Pass<S>& pass, Index rows, Index size, const Term& term, Total* partials, Result* result) {
    sum_over_rows(*pass.execution, rows, size, term, partials, result);
}
template <class S, class Column>
void write_rows(const Pass<S>& pass, Index rows, Index size, const Column& column, S* output) {
    write_rows(*pass.execution, rows, size, column, output);
}

}  // namespace bantam::cuda
