// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/core/network.hpp>
#include <bantam/cpu/batch_norm2d.hpp>
#include <bantam/cpu/operation.hpp>
#include <bantam/layers/activations.hpp>
#include <bantam/layers/batch_norm2d.hpp>

#include <cstddef>
#include <tuple>
#include <type_traits>
#include <utility>

namespace bantam::cpu {

/// One step of a chain: an operation that stands for one layer or for neighbours that run as one.
/// `Position` is the first one's among the layers, so that fusing changes no layer's randomness.
template <class Op, Shape Input, Shape Output, std::int64_t Trainable, std::int64_t NonTrainable,
          std::size_t Position>
struct Stage {
    using OperationType = Op;
    static constexpr std::size_t position = Position;
    static constexpr std::int64_t in = element_count(Input);
    static constexpr std::int64_t out = element_count(Output);
    static constexpr std::int64_t trainable = Trainable;
    static constexpr std::int64_t non_trainable = NonTrainable;
};

template <class... Stages>
struct StageList {};

template <class... As, class... Bs>
constexpr StageList<As..., Bs...> operator+(StageList<As...>, StageList<Bs...>) {
    return {};
}

namespace detail {

struct NoNode {
    using LayerType = void;
};

template <class N, class Op, std::size_t Position>
using StageOf = Stage<Op, N::input, N::output, trainable_parameters<Part<typename N::LayerType, N::input>>,
                      non_trainable_parameters<Part<typename N::LayerType, N::input>>, Position>;

template <class First, class Second>
inline constexpr bool norm_and_activation =
    std::is_same_v<First, BatchNorm2d> && std::is_base_of_v<Activation, Second>;

/// What `Current` becomes between its neighbours: nothing where the stage before has taken it in.
template <class S, std::size_t Position, class Previous, class Current, class Next>
constexpr auto plan() {
    using L = typename Current::LayerType;
    if constexpr (norm_and_activation<typename Previous::LayerType, L>)
        return StageList<>{};
    else if constexpr (norm_and_activation<L, typename Next::LayerType>)
        return StageList<StageOf<Current, BatchNormOperation<typename Next::LayerType, Current::input, S>, Position>>{};
    else
        return StageList<StageOf<Current, Operation<L, Current::input, S>, Position>>{};
}

}  // namespace detail

/// Every layer as a stage of its own.
template <class S, class... Nodes>
constexpr auto unfused(NodeList<Nodes...>) {
    return []<std::size_t... Is>(std::index_sequence<Is...>) {
        return StageList<detail::StageOf<Nodes, Operation<typename Nodes::LayerType, Nodes::input, S>, Is>...>{};
    }(std::index_sequence_for<Nodes...>{});
}

/// Neighbours matched by type: batch norm takes the activation behind it along.
template <class S, class... Nodes>
constexpr auto fused(NodeList<Nodes...>) {
    using Padded = std::tuple<detail::NoNode, Nodes..., detail::NoNode>;
    return []<std::size_t... Is>(std::index_sequence<Is...>) {
        return (StageList<>{} + ... +
                decltype(detail::plan<S, Is, std::tuple_element_t<Is, Padded>, std::tuple_element_t<Is + 1, Padded>,
                                      std::tuple_element_t<Is + 2, Padded>>()){});
    }(std::index_sequence_for<Nodes...>{});
}

}  // namespace bantam::cpu
