// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/core/network.hpp>
#include <bantam/exec/chain.hpp>
#include <bantam/exec/fusion_plan.hpp>
#include <bantam/exec/operation.hpp>
#include <bantam/exec/stage_label.hpp>
#include <bantam/layers/batch_norm2d.hpp>

#include <array>
#include <cstddef>
#include <tuple>
#include <utility>

namespace bantam::exec {

/// A convolution, its batch norm, and the activation after it (or Identity).
template <class Conv, class Act, Shape Input>
struct ConvNormAct {
    using ConvType = Conv;
    using ActType = Act;
    static constexpr Shape input = Input;
    static constexpr Shape output = Conv::output_shape(Input);
    static constexpr StageLabel forward_label = stage_label<Conv>(Conv::name, Input, false);
    static constexpr StageLabel backward_label = stage_label<Conv>(Conv::name, Input, true);
    /// Elements of the convolution's trainable tensors, and of the norm's, which follow them.
    static constexpr Index conv_parameters = element_count(Conv::tensors(Input), true);
    static constexpr Index norm_parameters = element_count(BatchNorm2d::tensors(output), true);
    static constexpr Index norm_statistics = element_count(BatchNorm2d::tensors(output), false);
};

/// Where the tensors of each of several ConvNormAct blocks begin, and where those of the next layer do.
template <class... Blocks>
struct FusedConvTensors {
    std::array<Index, sizeof...(Blocks) + 1> trainable{}, non_trainable{};

    constexpr FusedConvTensors() {
        std::size_t i = 0;
        ((trainable[i + 1] = trainable[i] + Blocks::conv_parameters + Blocks::norm_parameters,
          non_trainable[i + 1] = non_trainable[i] + Blocks::norm_statistics, ++i),
         ...);
    }
};

namespace detail {

/// ConvNormAct blocks as one stage.
template <class Backend, class S, bool Pooled, std::size_t Position, class... Blocks>
constexpr auto fused_stage() {
    using Op = typename Backend::template FusedConvBlocks<S, Pooled, Blocks...>;
    using First = std::tuple_element_t<0, std::tuple<Blocks...>>;
    constexpr Shape end = std::tuple_element_t<sizeof...(Blocks) - 1, std::tuple<Blocks...>>::output;
    constexpr Shape output = Pooled ? Shape{1, 1, end.channels} : end;
    constexpr FusedConvTensors<Blocks...> tensors;
    return StageList<Stage<typename First::ConvType, Op, First::input, output, tensors.trainable.back(),
                           tensors.non_trainable.back(), Position>>{};
}

/// The block whose nodes begin at `Begin`.
template <std::size_t Begin, class... Nodes>
constexpr auto conv_norm_act() {
    using All = std::tuple<Nodes...>;
    using Conv = std::tuple_element_t<Begin, All>;
    if constexpr (fusion_plan<Nodes...>.block_end(Begin) == Begin + 3)
        return ConvNormAct<typename Conv::LayerType, typename std::tuple_element_t<Begin + 2, All>::LayerType,
                           Conv::input>{};
    else
        return ConvNormAct<typename Conv::LayerType, Identity, Conv::input>{};
}

/// The stage that begins at node `Position`, or an empty list where an earlier stage contains the node.
template <class Backend, class S, std::size_t Position, class... Nodes>
constexpr auto stage_at() {
    using Current = std::tuple_element_t<Position, std::tuple<Nodes...>>;
    constexpr auto entry = fusion_plan<Nodes...>.entries[Position];
    if constexpr (!Backend::fused || entry.role == Role::single) {
        using Op = Operation<Backend, typename Current::LayerType, Current::input, S>;
        return StageList<StageOf<Current, Op, Position>>{};
    } else if constexpr (entry.role == Role::in_earlier_stage) {
        return StageList<>{};
    } else if constexpr (entry.role == Role::fused_conv_blocks) {
        return []<std::size_t... Is>(std::index_sequence<Is...>) {
            return fused_stage<
                Backend, S, entry.pooled, Position,
                decltype(conv_norm_act<fusion_plan<Nodes...>.block_begin(Position, Is), Nodes...>())...>();
        }(std::make_index_sequence<entry.blocks>{});
    } else {
        using Act = typename std::tuple_element_t<Position + 1, std::tuple<Nodes...>>::LayerType;
        return StageList<StageOf<Current, typename Backend::template NormAct<Act, Current::input, S>, Position>>{};
    }
}

}  // namespace detail

/// The stages of a chain. Where `Backend::fused`, neighbors are matched by type: ConvNormAct blocks in a row become one
/// stage (`Backend::FusedConvBlocks<S, Pooled, ConvNormAct…>`), and so does another norm with the activation after it
/// (`Backend::NormAct<Act, Input, S>`). Otherwise every layer is a stage; the results must be equal.
template <class Backend, class S, class... Nodes>
constexpr auto plan_stages(NodeList<Nodes...>) {
    return []<std::size_t... Is>(std::index_sequence<Is...>) {
        return (StageList<>{} + ... + decltype(detail::stage_at<Backend, S, Is, Nodes...>()){});
    }(std::index_sequence_for<Nodes...>{});
}

/// The chain of `L` (a layer, a block, a sequence) on `Input`.
template <class Backend, class L, Shape Input, class S>
struct ChainOf {
    using Nodes = NodesOf<L, Input>;
    using type = StageChain<Backend, S, decltype(plan_stages<Backend, S>(Nodes{}))>;
};

}  // namespace bantam::exec
