// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/cuda/activations.hpp>
#include <bantam/cuda/backend.hpp>
#include <bantam/cuda/batch_norm2d.hpp>
#include <bantam/cuda/conv2d.hpp>
#include <bantam/cuda/copy.hpp>
#include <bantam/cuda/depthwise_conv2d.hpp>
#include <bantam/cuda/dropout.hpp>
#include <bantam/cuda/fused_run.hpp>
#include <bantam/cuda/layer_norm.hpp>
#include <bantam/cuda/linear.hpp>
#include <bantam/cuda/pooling.hpp>
#include <bantam/device/branches.hpp>
#include <bantam/device/channel_gate.hpp>
#include <bantam/device/fusion.hpp>
#include <bantam/device/residual.hpp>
#include <bantam/device/stage_chain.hpp>

namespace bantam::cuda {

template <class Body, class Shortcut, Scale Scaled, Shape Input, class S>
struct Operation<ResidualBlock<Body, Shortcut, Scaled>, Input, S>
    : device::ResidualOperation<Backend, ResidualBlock<Body, Shortcut, Scaled>, Input, S> {};

template <Fork Forking, Join Joining, class... Paths, Shape Input, class S>
struct Operation<Branches<Forking, Joining, Paths...>, Input, S>
    : device::BranchesOperation<Backend, Branches<Forking, Joining, Paths...>, Input, S> {};

template <class... Ls, Shape Input, class S>
struct Operation<ChannelGate<Ls...>, Input, S>
    : device::ChannelGateOperation<Backend, ChannelGate<Ls...>, Input, S> {};

/// The chain that `L` (a layer, a block, a sequence) runs as on `Input`, its neighbours fused.
template <class L, Shape Input, class S>
struct ChainOf {
    using type =
        device::StageChain<Backend, S,
                           decltype(device::fused<Backend, S>(typename bantam::detail::Flatten<Sequence<L>, Input>::type{}))>;
};

template <class L, Shape Input, class S>
using Chain = typename ChainOf<L, Input, S>::type;

}  // namespace bantam::cuda
