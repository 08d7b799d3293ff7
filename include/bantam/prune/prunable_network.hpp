// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/core/network.hpp>
#include <bantam/deploy/type_text.hpp>
#include <bantam/exec/fusion_plan.hpp>
#include <bantam/layers/activations.hpp>
#include <bantam/layers/batch_norm2d.hpp>
#include <bantam/layers/depthwise_separable.hpp>
#include <bantam/layers/dropout.hpp>
#include <bantam/layers/flatten.hpp>
#include <bantam/layers/linear.hpp>
#include <bantam/layers/pooling.hpp>
#include <bantam/layers/residual.hpp>
#include <bantam/layers/squeeze_excite.hpp>

#include <array>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace bantam {

/// Channels that are one and the same along a network: a convolution writes them, norms and depthwise convolutions keep
/// them, both paths of a residual share them, the next convolution reads them. One is removed everywhere or nowhere.
struct ChannelGroup {
    Index channels;
    bool fixed;              ///< none can be removed: the picture, the classes, a layer that mixes channels by position
    std::vector<int> norms;  ///< tensors that hold a batch norm's scale of each channel
};

/// Source text of a network's type, or a group whose width stands there.
struct TypeToken {
    std::string text;
    int group = -1;
};

/// What removing channels needs to know of a network.
struct PrunableNetwork {
    std::span<const NamedTensor> tensors;
    std::vector<std::array<int, 4>> axes;  ///< of each tensor: the group along each axis, -1 where there is none
    std::vector<ChannelGroup> groups;
    std::vector<std::vector<TypeToken>> layers;  ///< the network's layers as types
    int classes = -1;                            ///< the group of the network's outputs
};

namespace detail {

template <class L>
inline constexpr bool is_depthwise_separable = false;
template <int Out, int Stride, int Kernel, ActivationLayer Act>
inline constexpr bool is_depthwise_separable<DepthwiseSeparable<Out, Stride, Kernel, Act>> = true;

template <class L>
inline constexpr bool is_residual = false;
template <class Body, class Shortcut, Scale Scaled>
inline constexpr bool is_residual<ResidualBlock<Body, Shortcut, Scaled>> = true;

template <class L>
inline constexpr bool is_channel_gate = false;
template <class... Ls>
inline constexpr bool is_channel_gate<ChannelGate<Ls...>> = true;

template <class L>
constexpr bool is_dense_convolution() {
    if constexpr (exec::is_convolution<L> && requires { L::groups; })
        return L::groups == 1;
    else
        return false;
}

template <class L>
inline constexpr bool is_depthwise_convolution = exec::is_convolution<L> && !requires { L::groups; };

template <class L>
inline constexpr bool is_linear = false;
template <int Out, auto WithBias>
inline constexpr bool is_linear<Linear<Out, WithBias>> = true;

template <class L>
inline constexpr bool is_pool = false;
template <auto Kernel, auto Stride, auto Padding>
inline constexpr bool is_pool<MaxPool2d<Kernel, Stride, Padding>> = true;
template <auto Kernel, auto Stride, auto Padding>
inline constexpr bool is_pool<AvgPool2d<Kernel, Stride, Padding>> = true;
template <>
inline constexpr bool is_pool<GlobalAveragePool> = true;

template <class L>
inline constexpr bool is_dropout = false;
template <auto... Arguments>
inline constexpr bool is_dropout<Dropout<Arguments...>> = true;

/// Whether channel c of the output depends on channel c of the input alone, and each tensor has a first axis of
/// channels.
template <class L, Shape Input>
inline constexpr bool is_channelwise =
    std::is_base_of_v<Activation, L> || std::is_same_v<L, BatchNorm2d> || is_depthwise_convolution<L> || is_pool<L> ||
    is_dropout<L> || (std::is_same_v<L, Flatten> && pixel_count(Input) == 1);

/// Follows the channels through the layers in storage order, and joins groups where paths meet.
class ChannelTracer {
public:
    using Tokens = std::vector<TypeToken>;

    int add_group(Index channels, bool fixed) {
        parents_.push_back(static_cast<int>(parents_.size()));
        network_.groups.push_back({channels, fixed, {}});
        return parents_.back();
    }
    void fix(int group) { network_.groups[position(group)].fixed = true; }

    /// The group of the output of layer L; appends L's type to `type`.
    template <class L, Shape Input>
    int trace(int group, Tokens& type) {
        if constexpr (NamedLayer<L>) {
            type.push_back({"Named<\"" + std::string{L::path} + "\", "});
            group = trace<typename L::Wrapped, Input>(group, type);
            type.push_back({">"});
        } else if constexpr (BlockLayer<L>) {
            group = trace<typename L::template Expansion<Input>, Input>(group, type);
        } else if constexpr (is_depthwise_separable<L>) {
            Tokens written_out;
            group = trace<typename L::Layers, Input>(group, written_out);
            append_with_width<L>(type, group);
        } else if constexpr (SequenceLayer<L>) {
            type.push_back({"Sequence<"});
            group =
                trace_sequence<Input>(group, type, typename L::Layers{}, std::make_index_sequence<L::Layers::size>{});
            type.push_back({">"});
        } else if constexpr (is_residual<L>) {
            group = trace_residual<Input>(group, type, L{});
        } else if constexpr (is_channel_gate<L>) {
            type.push_back({"ChannelGate<"});
            join(group, trace_layers<Input>(group, type, typename L::Body{}));
            type.push_back({">"});
        } else if constexpr (CompositeLayer<L>) {
            type.push_back({text<L>()});
            network_.axes.resize(network_.axes.size() + network_size<L, Input>.tensors, no_groups);
            group = fixed_output<L, Input>(group);
        } else {
            group = trace_primitive<L, Input>(group, type);
        }
        return group;
    }

    template <class Net>
    PrunableNetwork result(int output) {
        fix(output);
        network_.classes = find(output);
        network_.tensors = tensor_table<Net>;
        for (auto& tensor : network_.axes)
            for (int& group : tensor) group = group < 0 ? group : find(group);
        for (Tokens& layer : network_.layers)
            for (TypeToken& token : layer) token.group = token.group < 0 ? token.group : find(token.group);
        return std::move(network_);
    }

    template <Shape Input, class... Ls, std::size_t... Is>
    int trace_network(int group, Sequence<Ls...>, std::index_sequence<Is...>) {
        ((group = trace<Ls, sequence_shapes<Input, Ls...>[Is]>(group, network_.layers.emplace_back())), ...);
        return group;
    }

private:
    static constexpr std::array<int, 4> no_groups{-1, -1, -1, -1};

    int find(int group) const {
        while (parents_[static_cast<std::size_t>(group)] != group) group = parents_[static_cast<std::size_t>(group)];
        return group;
    }
    std::size_t position(int group) const { return static_cast<std::size_t>(find(group)); }

    void join(int left, int right) {
        if (find(left) == find(right)) return;
        ChannelGroup& kept = network_.groups[position(left)];
        ChannelGroup& joined = network_.groups[position(right)];
        kept.fixed = kept.fixed || joined.fixed;
        kept.norms.insert(kept.norms.end(), joined.norms.begin(), joined.norms.end());
        joined = {joined.channels, true, {}};
        parents_[position(right)] = find(left);
    }

    template <class L, Shape Input>
    int fixed_output(int input) {
        fix(input);
        return add_group(L::output_shape(Input).channels, true);
    }

    static std::string replaced(std::string text, std::string_view from, std::string_view to) {
        for (std::size_t at = text.find(from); at != text.npos; at = text.find(from, at + to.size()))
            text.replace(at, from.size(), to);
        return text;
    }

    /// The type in one line, without Bantam's namespace.
    template <class T>
    static std::string short_text() {
        return replaced(replaced(deploy::type_text<T>(), "bantam::", ""), "\n    ", " ");
    }

    template <ConvOptions Options>
    struct WithOptions {};

    /// Options that say no more than whether there is a bias, as the compiler prints them.
    template <bool Bias>
    static std::string usual_options() {
        const std::string type = short_text<WithOptions<ConvOptions{.bias = Bias}>>();
        const std::size_t begin = type.find("ConvOptions{");
        return type.substr(begin, type.rfind('}') + 1 - begin);
    }

    /// The type of a layer with the usual options as one writes them.
    template <class L>
    static std::string text() {
        return replaced(replaced(short_text<L>(), usual_options<false>(), "ConvOptions{.bias = false}"),
                        ", " + usual_options<true>(), "");
    }

    /// The type of L, whose first template argument is its number of output channels, with the width of a group there.
    template <class L>
    static void append_with_width(Tokens& type, int group) {
        const std::string whole = text<L>();
        const std::size_t begin = whole.find('<') + 1;
        type.push_back({whole.substr(0, begin)});
        type.push_back({"", group});
        type.push_back({whole.substr(whole.find_first_of(",>", begin))});
    }

    template <Shape Input, class... Ls, std::size_t... Is>
    int trace_sequence(int group, Tokens& type, Sequence<Ls...>, std::index_sequence<Is...>) {
        ((type.push_back({Is > 0 ? ", " : ""}), group = trace<Ls, sequence_shapes<Input, Ls...>[Is]>(group, type)),
         ...);
        return group;
    }

    template <Shape Input, class... Ls>
    int trace_layers(int group, Tokens& type, Sequence<Ls...> layers) {
        return trace_sequence<Input>(group, type, layers, std::index_sequence_for<Ls...>{});
    }

    template <Shape Input, class... Ls, class Shortcut, Scale Scaled>
    int trace_residual(int input, Tokens& type, ResidualBlock<Sequence<Ls...>, Shortcut, Scaled>) {
        if constexpr (!std::is_same_v<Shortcut, Identity>)
            type.push_back({"ProjectedResidual<"});
        else if constexpr (Scaled != Scale::none)
            type.push_back(
                {Scaled == Scale::body ? "ScaledResidual<Scale::body, " : "ScaledResidual<Scale::shortcut, "});
        else
            type.push_back({"Residual<"});
        // The body is stored before the shortcut and written after it.
        Tokens body;
        Tokens shortcut;
        const int output = trace_layers<Input>(input, body, Sequence<Ls...>{});
        int other = input;
        if constexpr (!std::is_same_v<Shortcut, Identity>) {
            other = trace<Shortcut, Input>(input, shortcut);
            shortcut.push_back({", "});
        }
        join(output, other);
        type.insert(type.end(), shortcut.begin(), shortcut.end());
        type.insert(type.end(), body.begin(), body.end());
        type.push_back({">"});
        if (Scaled != Scale::none) network_.axes.push_back({output, -1, -1, -1});
        return output;
    }

    template <class L, Shape Input>
    int trace_primitive(int group, Tokens& type) {
        if constexpr (is_dense_convolution<L>()) {
            const int output = add_group(L::output_shape(Input).channels, false);
            network_.axes.push_back({output, group, -1, -1});
            if (L::bias) network_.axes.push_back({output, -1, -1, -1});
            append_with_width<L>(type, output);
            return output;
        }
        if constexpr (is_linear<L>) {
            const int output = add_group(L::output_shape(Input).channels, true);
            network_.axes.push_back({output, group, -1, -1});
            if (L::bias) network_.axes.push_back({output, -1, -1, -1});
            append_with_width<L>(type, output);
            return output;
        }
        type.push_back({text<L>()});
        if constexpr (is_channelwise<L, Input>) {
            if constexpr (std::is_same_v<L, BatchNorm2d>)
                network_.groups[position(group)].norms.push_back(static_cast<int>(network_.axes.size()));
            for (std::size_t i = 0; i < L::tensors(Input).count; ++i) network_.axes.push_back({group, -1, -1, -1});
            return group;
        } else {
            for (std::size_t i = 0; i < L::tensors(Input).count; ++i) network_.axes.push_back(no_groups);
            return fixed_output<L, Input>(group);
        }
    }

    PrunableNetwork network_;
    std::vector<int> parents_;
};

}  // namespace detail

/// Follows the channels of a network. Channels can be removed from dense convolutions, and with them from the batch
/// norms, depthwise convolutions, activations, pools, residuals and channel gates around them. All others keep theirs.
template <NetworkType Net>
PrunableNetwork prunable_network() {
    detail::ChannelTracer tracer;
    const int picture = tracer.add_group(Net::input.channels, true);
    const int classes = tracer.trace_network<Net::input>(picture, typename Net::Layers{},
                                                         std::make_index_sequence<Net::Layers::size>{});
    return tracer.result<Net>(classes);
}

}  // namespace bantam
