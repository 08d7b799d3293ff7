// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/cpu/backend.hpp>
#include <bantam/cpu/layers/batch_norm2d.hpp>
#include <bantam/cpu/layers/fused_conv_blocks.hpp>
#include <bantam/cpu/runtime/operation.hpp>
#include <bantam/exec/chain.hpp>
#include <bantam/exec/fusion.hpp>

namespace bantam::cpu {

/// The chain that `L` (a layer, a block, a sequence) runs as on `Input`: neighbors fused, or every
/// layer on its own, which is what the fused stages must equal.
template <class L, Shape Input, class S, bool Fused>
struct ChainOf {
    static constexpr auto plan() {
        if constexpr (Fused)
            return exec::fused<Backend, S>(NodesOf<L, Input>{});
        else
            return exec::one_by_one<Backend, S>(NodesOf<L, Input>{});
    }
    using type = exec::StageChain<Backend, S, decltype(plan())>;
};

template <class L, Shape Input, class S, bool Fused = true>
using Chain = typename ChainOf<L, Input, S, Fused>::type;

}  // namespace bantam::cpu
