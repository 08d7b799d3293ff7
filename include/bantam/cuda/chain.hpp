// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/cuda/activations.hpp>
#include <bantam/cuda/backend.hpp>
#include <bantam/cuda/batch_norm2d.hpp>
#include <bantam/cuda/conv2d.hpp>
#include <bantam/cuda/copy.hpp>
#include <bantam/cuda/depthwise_conv2d.hpp>
#include <bantam/cuda/dropout.hpp>
#include <bantam/cuda/layer_norm.hpp>
#include <bantam/cuda/linear.hpp>
#include <bantam/cuda/pooling.hpp>
#include <bantam/device/branches.hpp>
#include <bantam/device/channel_gate.hpp>
#include <bantam/device/grouping.hpp>
#include <bantam/device/residual.hpp>
#include <bantam/device/stage_chain.hpp>

#include <cstddef>
#include <tuple>
#include <utility>

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

namespace detail {

template <class S, std::size_t Position, class... Nodes>
constexpr auto plan() {
    using Current = std::tuple_element_t<Position, std::tuple<Nodes...>>;
    using device::Role;
    constexpr Role role = device::grouping<device::Runs::apart, Nodes...>.entries[Position].role;
    if constexpr (role == Role::taken) {
        return device::StageList<>{};
    } else if constexpr (role == Role::norm_and_activation) {
        using Act = typename std::tuple_element_t<Position + 1, std::tuple<Nodes...>>::LayerType;
        return device::StageList<device::StageOf<Current, BatchNormOperation<Act, Current::input, S>, Position>>{};
    } else {
        using Op = Operation<typename Current::LayerType, Current::input, S>;
        return device::StageList<device::StageOf<Current, Op, Position>>{};
    }
}

}  // namespace detail

/// Neighbours matched by type: a batch norm takes the activation behind it along.
template <class S, class... Nodes>
constexpr auto fused(NodeList<Nodes...>) {
    return []<std::size_t... Is>(std::index_sequence<Is...>) {
        return (device::StageList<>{} + ... + decltype(detail::plan<S, Is, Nodes...>()){});
    }(std::index_sequence_for<Nodes...>{});
}

/// The chain that `L` (a layer, a block, a sequence) runs as on `Input`.
template <class L, Shape Input, class S>
struct ChainOf {
    using type =
        device::StageChain<Backend, S,
                           decltype(fused<S>(typename bantam::detail::Flatten<Sequence<L>, Input>::type{}))>;
};

template <class L, Shape Input, class S>
using Chain = typename ChainOf<L, Input, S>::type;

}  // namespace bantam::cuda
