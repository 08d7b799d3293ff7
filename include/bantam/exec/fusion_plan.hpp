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

/// What becomes of a node: it stands alone, is a norm that takes the activation behind it along, opens a run
/// of convolution + norm (+ activation) stages, or has been taken by a node before it.
enum class Role { alone, norm_and_activation, run, taken };

/// The roles of neighboring nodes.
template <std::size_t Count>
struct Grouping {
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

}  // namespace bantam::exec
