// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/core/network.hpp>
#include <bantam/cpu/batch_norm2d.hpp>
#include <bantam/cpu/fused_run.hpp>
#include <bantam/cpu/operation.hpp>
#include <bantam/device/stage_chain.hpp>
#include <bantam/layers/activations.hpp>
#include <bantam/layers/batch_norm2d.hpp>
#include <bantam/layers/pooling.hpp>

#include <array>
#include <cstddef>
#include <tuple>
#include <type_traits>
#include <utility>

namespace bantam::cpu {

using device::StageList;

namespace detail {

template <class L>
inline constexpr bool is_convolution = false;
template <int Out, int Kernel, int Stride, ConvOptions Options>
inline constexpr bool is_convolution<Conv2d<Out, Kernel, Stride, Options>> = true;
template <int Kernel, int Stride, ConvOptions Options>
inline constexpr bool is_convolution<DepthwiseConv2d<Kernel, Stride, Options>> = true;

enum class Kind { convolution, norm, activation, pool, other };

template <class L>
constexpr Kind kind_of() {
    if constexpr (is_convolution<L>) return Kind::convolution;
    if constexpr (std::is_same_v<L, BatchNorm2d>) return Kind::norm;
    if constexpr (std::is_base_of_v<Activation, L>) return Kind::activation;
    if constexpr (std::is_same_v<L, GlobalAveragePool>) return Kind::pool;
    return Kind::other;
}

/// What becomes of each node: it stands alone, is a norm that takes the activation behind it along,
/// opens a run of convolution + norm (+ activation) stages, or has been taken by a node before it.
template <std::size_t Count>
struct Grouping {
    enum class Role { alone, norm_and_activation, run, taken };
    struct Entry {
        Role role = Role::alone;
        std::size_t stages = 0;
        bool pooled = false;
    };
    std::array<Kind, Count> kinds;
    std::array<Entry, Count> entries{};

    constexpr bool is(std::size_t i, Kind kind) const { return i < Count && kinds[i] == kind; }
    constexpr bool is_stage(std::size_t i) const { return is(i, Kind::convolution) && is(i + 1, Kind::norm); }
    constexpr std::size_t stage_end(std::size_t i) const { return i + (is(i + 2, Kind::activation) ? 3 : 2); }

    /// Where the `stage`-th stage of the run that opens at `i` begins.
    constexpr std::size_t stage_begin(std::size_t i, std::size_t stage) const {
        for (; stage > 0; --stage) i = stage_end(i);
        return i;
    }

    constexpr explicit Grouping(const std::array<Kind, Count>& node_kinds) : kinds{node_kinds} {
        std::size_t end = 0;
        for (std::size_t i = 0; i < Count; i = end) {
            Entry& entry = entries[i];
            end = i;
            for (; is_stage(end); end = stage_end(end)) ++entry.stages;
            if (entry.stages > 0) {
                entry.role = Role::run;
                entry.pooled = is(end, Kind::pool);
                end += entry.pooled ? 1 : 0;
            } else if (is(i, Kind::norm) && is(i + 1, Kind::activation)) {
                entry.role = Role::norm_and_activation;
                end = i + 2;
            } else {
                end = i + 1;
            }
            for (std::size_t j = i + 1; j < end; ++j) entries[j].role = Role::taken;
        }
    }
};

template <class... Nodes>
inline constexpr Grouping<sizeof...(Nodes)> grouping{
    std::array<Kind, sizeof...(Nodes)>{kind_of<typename Nodes::LayerType>()...}};

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
    using Role = typename Grouping<sizeof...(Nodes)>::Role;
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
