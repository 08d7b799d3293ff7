// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/cuda/backend.hpp>
#include <bantam/cuda/layers/activations.hpp>
#include <bantam/cuda/layers/batch_norm2d.hpp>
#include <bantam/cuda/layers/conv2d.hpp>
#include <bantam/cuda/layers/depthwise_conv2d.hpp>
#include <bantam/cuda/layers/dropout.hpp>
#include <bantam/cuda/layers/flatten.hpp>
#include <bantam/cuda/layers/fused_conv_blocks.hpp>
#include <bantam/cuda/layers/layer_norm.hpp>
#include <bantam/cuda/layers/linear.hpp>
#include <bantam/cuda/layers/pooling.hpp>
#include <bantam/exec/branches.hpp>
#include <bantam/exec/chain.hpp>
#include <bantam/exec/channel_gate.hpp>
#include <bantam/exec/fusion.hpp>
#include <bantam/exec/residual.hpp>

namespace bantam::cuda {

template <class Body, class Shortcut, Scale Scaled, Shape Input, class S>
struct Operation<ResidualBlock<Body, Shortcut, Scaled>, Input, S>
    : exec::ResidualOperation<Backend, ResidualBlock<Body, Shortcut, Scaled>, Input, S> {};

template <Fork Forking, Join Joining, class... Paths, Shape Input, class S>
struct Operation<Branches<Forking, Joining, Paths...>, Input, S>
    : exec::BranchesOperation<Backend, Branches<Forking, Joining, Paths...>, Input, S> {};

template <class... Ls, Shape Input, class S>
struct Operation<ChannelGate<Ls...>, Input, S> : exec::ChannelGateOperation<Backend, ChannelGate<Ls...>, Input, S> {};

/// The chain that `L` (a layer, a block, a sequence) runs as on `Input`, its neighbors fused.
template <class L, Shape Input, class S>
struct ChainOf {
    using type = exec::StageChain<Backend, S, decltype(exec::fused<Backend, S>(NodesOf<L, Input>{}))>;
};

template <class L, Shape Input, class S>
using Chain = typename ChainOf<L, Input, S>::type;

}  // namespace bantam::cuda
