// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/cpu/backend.hpp>
#include <bantam/cpu/layers/all.hpp>
#include <bantam/exec/checked_chain.hpp>

namespace bantam::cpu {

template <class L, Shape Input, class S, bool Fused>
struct ChainOf : exec::CheckedChain<Backend<Fused>, L, Input, S> {};

/// The chain of `L` (a layer, a block, a sequence) on `Input`: neighbors fused, or every layer a stage of its own, with
/// the same results.
template <class L, Shape Input, class S, bool Fused = true>
using Chain = typename ChainOf<L, Input, S, Fused>::type;

}  // namespace bantam::cpu
