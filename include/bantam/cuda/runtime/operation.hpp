// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/bfloat16.hpp>
#include <bantam/base/index.hpp>
#include <bantam/core/shape.hpp>
#include <bantam/cuda/runtime/batch_slices.hpp>
#include <bantam/cuda/runtime/execution.hpp>
#include <bantam/cuda/runtime/rank_sums.hpp>
#include <bantam/cuda/runtime/thread_block.hpp>
#include <bantam/exec/missing_operation.hpp>
#include <bantam/exec/operation.hpp>

#include <cstdint>
#include <source_location>
#include <string_view>

namespace bantam::cuda {

using exec::OperationSizes;
using exec::Weights;

/// The pass that an operation is part of.
template <class S>
struct Pass {
    Index count = 0;                      ///< samples of the batch that this process computes
    bool training = false;                ///< batch statistics, dropout; forward keeps what backward needs
    const std::uint64_t* seed = nullptr;  ///< seed of this step's random numbers, on the device
    std::uint64_t stream = 0;             ///< random stream of this layer
    S* scratch = nullptr;                 ///< `Operation::scratch_size` scalars
    Compute<S>* partials = nullptr;       ///< `Operation::partial_size` · `max_slices` scalars
    double* sums = nullptr;               ///< `Operation::sum_count` · `max_slices` doubles
    const Execution* execution = nullptr;

    /// Where several ranks compute one batch: how their sums are added. Null: this process computes the whole batch.
    RankSums<S>* ranks = nullptr;
    Index samples_of_ranks = 0;  ///< samples in the whole batch

    /// Samples in the whole batch, those of all ranks: what a mean over the batch is divided by.
    Index batch() const { return ranks ? samples_of_ranks : count; }
    BatchPart part() const { return ranks ? BatchPart::of_rank(batch(), ranks->rank()) : BatchPart::whole(count); }
};

/// The backend's name in error messages.
struct BackendName {
    static constexpr std::string_view name = "cuda";
};

/// How `L` runs on an `Input` shape: the interface of `cpu::Operation`, with buffers on the device. Maps and their
/// gradients are stored as `S`; arithmetic, weights, statistics and weight gradients are Compute<S>.
template <class L, Shape Input, class S>
struct Operation : exec::MissingOperation<L, BackendName> {};

/// Calls `functor(i)` for every i below `count`, in any order.
template <class S, class Functor>
void for_each_index(const Pass<S>& pass, Index count, Functor functor,
                    const std::source_location& where = std::source_location::current()) {
    for_each_index(*pass.execution, count, functor, where);
}

/// Runs `count` thread blocks of `kernel`; see thread_block.hpp.
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

}  // namespace bantam::cuda
