// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/core/network.hpp>
#include <bantam/cpu/batch_norm2d.hpp>
#include <bantam/cpu/fused_run.hpp>
#include <bantam/cpu/operation.hpp>
#include <bantam/device/grouping.hpp>
#include <bantam/device/stage_chain.hpp>
#include <bantam/layers/activations.hpp>

#include <cstddef>
#include <tuple>
#include <utility>

namespace bantam::cpu {

using device::StageList;

namespace detail {

using device::Role;

template <class... Nodes>
inline constexpr auto grouping = device::grouping<device::Runs::grouped, Nodes...>;

template <class S, bool Pooled, std::size_t Position, class... Stages>
constexpr auto run_stage() {
    using Op = FusedRun<S, Pooled, Stages...>;
    constexpr Shape first = std::tuple_element_t<0, std::tuple<Stages...>>::input;
    constexpr Shape end = std::tuple_element_t<sizeof...(Stages) - 1, std::tuple<Stages...>>::output;
    constexpr Shape output = Pooled ? Shape{1, 1, end.channels} : end;
    return StageList<device::Stage<typename std::tuple_element_t<0, std::tuple<Stages...>>::ConvType, Op, first, output, Op::offsets.trainable[sizeof...(Stages)],
                           Op::offsets.statistics[sizeof...(Stages)], Position>>{};
}

/// The stage of a run whose nodes begin at `Begin`.
template <std::size_t Begin, class... Nodes>
constexpr auto conv_norm_act() {
    using All = std::tuple<Nodes...>;
    using Conv = std::tuple_element_t<Begin, All>;
    if constexpr (grouping<Nodes...>.stage_end(Begin) == Begin + 3)
        return ConvNormAct<typename Conv::LayerType, typename std::tuple_element_t<Begin + 2, All>::LayerType,
                           Conv::input>{};
    else
        return ConvNormAct<typename Conv::LayerType, Identity, Conv::input>{};
}

template <class S, std::size_t Position, class... Nodes>
constexpr auto plan() {
    using Current = std::tuple_element_t<Position, std::tuple<Nodes...>>;
    constexpr auto entry = grouping<Nodes...>.entries[Position];
    if constexpr (entry.role == Role::taken) {
        return StageList<>{};
    } else if constexpr (entry.role == Role::run) {
        return []<std::size_t... Is>(std::index_sequence<Is...>) {
            return run_stage<S, entry.pooled, Position,
                             decltype(conv_norm_act<grouping<Nodes...>.stage_begin(Position, Is), Nodes...>())...>();
        }(std::make_index_sequence<entry.stages>{});
    } else if constexpr (entry.role == Role::norm_and_activation) {
        using Act = typename std::tuple_element_t<Position + 1, std::tuple<Nodes...>>::LayerType;
        return StageList<device::StageOf<Current, BatchNormOperation<Act, Current::input, S>, Position>>{};
    } else {
        return StageList<device::StageOf<Current, Operation<typename Current::LayerType, Current::input, S>, Position>>{};
    }
}

}  // namespace detail

/// Neighbours matched by type: runs of convolution, norm and activation become one stage each, and a
/// norm elsewhere takes the activation behind it along.
template <class S, class... Nodes>
constexpr auto fused(NodeList<Nodes...>) {
    return []<std::size_t... Is>(std::index_sequence<Is...>) {
        return (StageList<>{} + ... + decltype(detail::plan<S, Is, Nodes...>()){});
    }(std::index_sequence_for<Nodes...>{});
}

}  // namespace bantam::cpu
