// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/core/network.hpp>
#include <bantam/exec/chain.hpp>
#include <bantam/exec/fusion_plan.hpp>
#include <bantam/exec/stage_profiler.hpp>
#include <bantam/layers/batch_norm2d.hpp>

#include <array>
#include <cstddef>
#include <tuple>
#include <utility>

namespace bantam::exec {

/// A convolution, the batch norm behind it and the activation behind that (or Identity).
template <class Conv, class Act, Shape Input>
struct ConvNormAct {
    using ConvType = Conv;
    using ActType = Act;
    static constexpr Shape input = Input;
    static constexpr Shape output = Conv::output_shape(Input);
    static constexpr StageLabel there = stage_label<Conv>(Conv::name, Input, false);
    static constexpr StageLabel back = stage_label<Conv>(Conv::name, Input, true);
    /// Elements of the convolution's trainable tensors, behind which the norm's lie, and of the norm's.
    static constexpr Index conv_parameters = element_count(Conv::tensors(Input), true);
    static constexpr Index norm_parameters = element_count(BatchNorm2d::tensors(output), true);
    static constexpr Index norm_statistics = element_count(BatchNorm2d::tensors(output), false);
};

/// Where the stages of a run find their tensors, and where the next layer would.
template <class... Stages>
struct FusedConvTensors {
    std::array<Index, sizeof...(Stages) + 1> trainable{}, non_trainable{};

    constexpr FusedConvTensors() {
        std::size_t i = 0;
        ((trainable[i + 1] = trainable[i] + Stages::conv_parameters + Stages::norm_parameters,
          non_trainable[i + 1] = non_trainable[i] + Stages::norm_statistics, ++i),
         ...);
    }
};

namespace detail {

template <class Backend, class S, bool Pooled, std::size_t Position, class... Stages>
constexpr auto run_stage() {
    using Op = typename Backend::template Run<S, Pooled, Stages...>;
    using First = std::tuple_element_t<0, std::tuple<Stages...>>;
    constexpr Shape end = std::tuple_element_t<sizeof...(Stages) - 1, std::tuple<Stages...>>::output;
    constexpr Shape output = Pooled ? Shape{1, 1, end.channels} : end;
    constexpr FusedConvTensors<Stages...> tensors;
    return StageList<Stage<typename First::ConvType, Op, First::input, output, tensors.trainable.back(),
                           tensors.non_trainable.back(), Position>>{};
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

template <class Backend, class S, std::size_t Position, class... Nodes>
constexpr auto plan() {
    using Current = std::tuple_element_t<Position, std::tuple<Nodes...>>;
    constexpr auto entry = grouping<Nodes...>.entries[Position];
    if constexpr (entry.role == Role::taken) {
        return StageList<>{};
    } else if constexpr (entry.role == Role::run) {
        return []<std::size_t... Is>(std::index_sequence<Is...>) {
            return run_stage<Backend, S, entry.pooled, Position,
                             decltype(conv_norm_act<grouping<Nodes...>.stage_begin(Position, Is), Nodes...>())...>();
        }(std::make_index_sequence<entry.stages>{});
    } else if constexpr (entry.role == Role::norm_and_activation) {
        using Act = typename std::tuple_element_t<Position + 1, std::tuple<Nodes...>>::LayerType;
        return StageList<StageOf<Current, typename Backend::template Norm<Act, Current::input, S>, Position>>{};
    } else {
        using Op = typename Backend::template Operation<typename Current::LayerType, Current::input, S>;
        return StageList<StageOf<Current, Op, Position>>{};
    }
}

}  // namespace detail

/// Neighbors matched by type: runs of convolution, norm and activation become one stage each
/// (`Backend::Run<S, Pooled, ConvNormAct…>`), and a norm elsewhere takes the activation behind it along
/// (`Backend::Norm<Act, Input, S>`).
template <class Backend, class S, class... Nodes>
constexpr auto fused(NodeList<Nodes...>) {
    return []<std::size_t... Is>(std::index_sequence<Is...>) {
        return (StageList<>{} + ... + decltype(detail::plan<Backend, S, Is, Nodes...>()){});
    }(std::index_sequence_for<Nodes...>{});
}

}  // namespace bantam::exec
