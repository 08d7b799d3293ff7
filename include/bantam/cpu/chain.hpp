// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/cpu/backend.hpp>
#include <bantam/cpu/batch_norm2d.hpp>
#include <bantam/cpu/fused_run.hpp>
#include <bantam/cpu/operation.hpp>
#include <bantam/device/fusion.hpp>
#include <bantam/device/stage_chain.hpp>

namespace bantam::cpu {

/// The chain that `L` (a layer, a block, a sequence) runs as on `Input`: neighbours fused, or every
/// layer on its own, which is what the fused stages must equal.
template <class L, Shape Input, class S, bool Fused>
struct ChainOf {
    static constexpr auto plan() {
        if constexpr (Fused)
            return device::fused<Backend, S>(typename bantam::detail::Flatten<Sequence<L>, Input>::type{});
        else
            return device::one_by_one<Backend, S>(typename bantam::detail::Flatten<Sequence<L>, Input>::type{});
    }
    using type = device::StageChain<Backend, S, decltype(plan())>;
};

template <class L, Shape Input, class S, bool Fused = true>
using Chain = typename ChainOf<L, Input, S, Fused>::type;

}  // namespace bantam::cpu
