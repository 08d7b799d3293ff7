// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/layers/activations.hpp>
#include <bantam/layers/batch_norm2d.hpp>
#include <bantam/layers/conv2d.hpp>
#include <bantam/layers/depthwise_conv2d.hpp>
#include <bantam/layers/pooling.hpp>

#include <array>
#include <cstddef>
#include <type_traits>

namespace bantam::exec {

template <class L>
inline constexpr bool is_convolution = false;
template <int Out, auto Kernel, auto Stride, ConvOptions Options>
inline constexpr bool is_convolution<Conv2d<Out, Kernel, Stride, Options>> = true;
template <auto Kernel, auto Stride, ConvOptions Options>
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

/// The role of a node: a stage of one layer, the begin of a stage of norm and activation, the begin of a stage of
/// convolution + norm (+ activation) blocks, or inside a stage that began earlier.
enum class Role { single, norm_and_activation, fused_conv_blocks, in_earlier_stage };

/// The roles of neighboring nodes.
template <std::size_t Count>
struct FusionPlan {
    struct Entry {
        Role role = Role::single;
        std::size_t blocks = 0;  ///< of a fused stage
        bool pooled = false;     ///< a global average pool ends the fused stage
    };
    std::array<Kind, Count> kinds;
    std::array<Entry, Count> entries{};

    constexpr bool is(std::size_t i, Kind kind) const { return i < Count && kinds[i] == kind; }
    constexpr bool is_block(std::size_t i) const { return is(i, Kind::convolution) && is(i + 1, Kind::norm); }
    constexpr std::size_t block_end(std::size_t i) const { return i + (is(i + 2, Kind::activation) ? 3 : 2); }

    /// Where block `block` of the fused stage at `i` begins.
    constexpr std::size_t block_begin(std::size_t i, std::size_t block) const {
        for (; block > 0; --block) i = block_end(i);
        return i;
    }

    constexpr explicit FusionPlan(const std::array<Kind, Count>& node_kinds) : kinds{node_kinds} {
        std::size_t end = 0;
        for (std::size_t i = 0; i < Count; i = end) {
            Entry& entry = entries[i];
            end = i;
            for (; is_block(end); end = block_end(end)) ++entry.blocks;
            if (entry.blocks > 0) {
                entry.role = Role::fused_conv_blocks;
                entry.pooled = is(end, Kind::pool);
                end += entry.pooled ? 1 : 0;
            } else if (is(i, Kind::norm) && is(i + 1, Kind::activation)) {
                entry.role = Role::norm_and_activation;
                end = i + 2;
            } else {
                end = i + 1;
            }
            for (std::size_t j = i + 1; j < end; ++j) entries[j].role = Role::in_earlier_stage;
        }
    }
};

template <class... Nodes>
inline constexpr FusionPlan<sizeof...(Nodes)> fusion_plan{
    std::array<Kind, sizeof...(Nodes)>{kind_of<typename Nodes::LayerType>()...}};

}  // namespace bantam::exec
