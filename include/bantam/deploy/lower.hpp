// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/core/diagnostics.hpp>
#include <bantam/core/layer_mistakes.hpp>
#include <bantam/core/network.hpp>
#include <bantam/core/visit.hpp>
#include <bantam/deploy/activation.hpp>
#include <bantam/deploy/precision.hpp>
#include <bantam/deploy/stages/convolution.hpp>
#include <bantam/deploy/stages/join.hpp>
#include <bantam/deploy/stages/pointwise.hpp>
#include <bantam/deploy/stages/pooling.hpp>
#include <bantam/layers/activations.hpp>
#include <bantam/layers/batch_norm2d.hpp>
#include <bantam/layers/branches.hpp>
#include <bantam/layers/channel_shuffle.hpp>
#include <bantam/layers/conv2d.hpp>
#include <bantam/layers/depthwise_conv2d.hpp>
#include <bantam/layers/dropout.hpp>
#include <bantam/layers/flatten.hpp>
#include <bantam/layers/foldable_add.hpp>
#include <bantam/layers/gate.hpp>
#include <bantam/layers/layer_norm.hpp>
#include <bantam/layers/linear.hpp>
#include <bantam/layers/pooling.hpp>
#include <bantam/layers/residual.hpp>
#include <bantam/layers/squeeze_excite.hpp>

#include <cstddef>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

// From layers to stages. A convolution or linear layer takes the batch norm behind it and then a ReLU or ReLU6; a
// Linear takes the Flatten before it, too; a batch norm that stands alone is a depthwise 1×1 convolution; a join
// takes a ReLU or ReLU6. Dropout is nothing.

namespace bantam::deploy {

namespace detail {

struct NoNode {
    using LayerType = void;
};

template <class L>
struct IsConv : std::false_type {};
template <int Out, auto Kernel, auto Stride, ConvOptions Options>
struct IsConv<Conv2d<Out, Kernel, Stride, Options>> : std::true_type {};

template <class L>
struct IsDepthwise : std::false_type {};
template <auto Kernel, auto Stride, ConvOptions Options>
struct IsDepthwise<DepthwiseConv2d<Kernel, Stride, Options>> : std::true_type {};

template <class L>
struct IsLinear : std::false_type {};
template <int Out, Bias HasBias>
struct IsLinear<Linear<Out, HasBias>> : std::true_type {};

template <class L>
struct IsDropout : std::false_type {};
template <auto Percent>
struct IsDropout<Dropout<Percent>> : std::true_type {};

template <class L>
inline constexpr Bound bound_of = std::is_same_v<L, ReLU>    ? Bound::relu
                                  : std::is_same_v<L, ReLU6> ? Bound::relu6
                                                             : Bound::none;

template <class P, Bound bound>
using Bounded = std::conditional_t<bound == Bound::none, typename P::Signed, typename P::Unsigned>;

template <class T>
inline constexpr bool is_unsigned_map = std::is_unsigned_v<T>;

/// Nodes that change nothing in inference.
template <class N>
inline constexpr bool vanishes =
    std::is_same_v<typename N::LayerType, Identity> || IsDropout<typename N::LayerType>::value ||
    (std::is_same_v<typename N::LayerType, Flatten> && N::input == N::output);

template <class... Ns>
constexpr auto without_vanishing(NodeList<Ns...>) {
    return (NodeList<>{} + ... + std::conditional_t<vanishes<Ns>, NodeList<>, NodeList<Ns>>{});
}

template <std::size_t I, class... Ns>
constexpr auto node_at(NodeList<Ns...>) {
    if constexpr (I < sizeof...(Ns))
        return std::type_identity<std::tuple_element_t<I, std::tuple<Ns...>>>{};
    else
        return std::type_identity<NoNode>{};
}

template <std::size_t Count, class N, class... Ns>
constexpr auto drop(NodeList<N, Ns...>) {
    if constexpr (Count == 1)
        return NodeList<Ns...>{};
    else
        return drop<Count - 1>(NodeList<Ns...>{});
}

/// A stage, how many nodes it stands for, and what it gives.
template <class StageType, std::size_t Nodes>
struct Lowered {
    using Stage = StageType;
    static constexpr std::size_t nodes = Nodes;
};

template <class L, Shape Input>
constexpr ConvSpec conv_spec() {
    ConvSpec spec{.input = Input,
                  .output = L::output_shape(Input),
                  .kernel_height = 1,
                  .kernel_width = 1,
                  .stride = 1,
                  .padding = 0,
                  .dilation = 1,
                  .groups = 1,
                  .source = WeightSource::convolution,
                  .bias = false,
                  .norm = false,
                  .bound = Bound::none};
    if constexpr (IsConv<L>::value || IsDepthwise<L>::value) {
        spec.kernel_height = L::kernel_size.height;
        spec.kernel_width = L::kernel_size.width;
        spec.stride = L::stride;
        spec.padding = L::padding;
        spec.dilation = L::dilation;
        spec.bias = L::bias;
        if constexpr (IsConv<L>::value)
            spec.groups = L::groups;
        else
            spec.groups = static_cast<int>(Input.channels);
    } else if constexpr (IsLinear<L>::value) {
        spec.source = WeightSource::linear;
        spec.bias = L::bias;
    } else {
        spec.source = WeightSource::none;
        spec.groups = static_cast<int>(Input.channels);
    }
    return spec;
}

template <ConvSpec S, class P, class In, class Out>
using ConvStage = std::conditional_t<S.groups == S.input.channels && S.groups == S.output.channels,
                                     Depthwise<S, P, In, Out>, Convolution<S, P, In, Out>>;

/// A convolution, linear layer or norm whose spec is `S` so far, with what follows it among `Nodes` from `At` on.
template <ConvSpec S, class P, class In, bool Last, std::size_t At, class Nodes>
constexpr auto lower_conv() {
    using First = typename decltype(node_at<At>(Nodes{}))::type::LayerType;
    if constexpr (!S.norm && std::is_same_v<First, BatchNorm2d>) {
        constexpr ConvSpec with_norm = [] {
            ConvSpec spec = S;
            spec.norm = true;
            return spec;
        }();
        return lower_conv<with_norm, P, In, Last, At + 1, Nodes>();
    } else if constexpr (constexpr Bound bound = bound_of<First>; bound != Bound::none) {
        constexpr ConvSpec with_bound = [] {
            ConvSpec spec = S;
            spec.bound = bound;
            return spec;
        }();
        return Lowered<ConvStage<with_bound, P, In, typename P::Unsigned>, At + 1>{};
    } else if constexpr (Last && std::is_same_v<First, void>) {
        return Lowered<ConvStage<S, P, In, typename P::Logit>, At>{};
    } else {
        return Lowered<ConvStage<S, P, In, typename P::Signed>, At>{};
    }
}

template <class P, class T, bool Last, class... Done, class Nodes>
constexpr auto lower(StageList<Done...>, Nodes);

template <class T, class... Stages>
constexpr auto output_of(StageList<Stages...>) {
    if constexpr (sizeof...(Stages) == 0)
        return std::type_identity<T>{};
    else
        return std::type_identity<typename std::tuple_element_t<sizeof...(Stages) - 1, std::tuple<Stages...>>::Out>{};
}

template <class P, class T, bool Last, class L, Shape Input>
constexpr auto lower_path() {
    using Stages = decltype(lower<P, T, Last>(StageList<>{}, without_vanishing(NodesOf<L, Input>{})));
    return StagePath<Input, T, L::output_shape(Input), typename decltype(output_of<T>(Stages{}))::type, Stages>{};
}

template <JoinSpec S, class P, class In, std::size_t Taken, class... Paths>
constexpr auto lower_join() {
    constexpr bool all_unsigned = (is_unsigned_map<typename Paths::Out> && ...) && S.scaled_path < 0;
    constexpr bool all_logits =
        !std::is_same_v<P, Float32> && (std::is_same_v<typename Paths::Out, typename P::Logit> && ...);
    using Out = std::conditional_t<
        all_logits, typename P::Logit,
        std::conditional_t<all_unsigned || S.bound != Bound::none, typename P::Unsigned, typename P::Signed>>;
    return Lowered<JoinPaths<S, P, In, Out, Paths...>, Taken>{};
}

/// How a composite layer is lowered, given the bound behind it.
template <class L>
struct LowerComposite;

template <class Body, class Shortcut, Scale Scaled>
struct LowerComposite<ResidualBlock<Body, Shortcut, Scaled>> {
    template <class P, class In, Shape Input, Bound bound, bool>
    static constexpr auto lowered() {
        using L = ResidualBlock<Body, Shortcut, Scaled>;
        constexpr JoinSpec spec{Input,
                                L::output_shape(Input),
                                Fork::copy,
                                Join::add,
                                Scaled == Scale::none ? -1 : Scaled == Scale::body ? 0 : 1,
                                bound};
        return lower_join<spec, P, In, bound == Bound::none ? 1 : 2, decltype(lower_path<P, In, false, Body, Input>()),
                          decltype(lower_path<P, In, false, Shortcut, Input>())>();
    }
};

template <Fork Forking, Join Joining, class... Paths>
struct LowerComposite<Branches<Forking, Joining, Paths...>> {
    template <class P, class In, Shape Input, Bound Behind, bool Last>
    static constexpr auto lowered() {
        using L = Branches<Forking, Joining, Paths...>;
        constexpr Bound bound = Joining == Join::concatenate ? Bound::none : Behind;
        constexpr JoinSpec spec{Input, L::output_shape(Input), Forking, Joining, -1, bound};
        constexpr bool logits = Last && Joining != Join::concatenate && bound == Bound::none;
        return lower_join<spec, P, In, bound == Bound::none ? 1 : 2,
                          decltype(lower_path<P, In, logits, Paths, L::child_input(Input, 0)>())...>();
    }
};

template <class... Paths>
struct LowerComposite<FoldableAdd<Paths...>> : LowerComposite<Add<Paths...>> {};

template <class... Ls>
struct LowerComposite<ChannelGate<Ls...>> {
    template <class P, class In, Shape Input, Bound, bool>
    static constexpr auto lowered() {
        using Body = decltype(lower_path<P, In, false, Sequence<Ls...>, Input>());
        constexpr bool both_unsigned = is_unsigned_map<In> && is_unsigned_map<typename Body::Out>;
        using Out = std::conditional_t<both_unsigned, typename P::Unsigned, typename P::Signed>;
        return Lowered<GateChannels<Input, P, In, Out, typename Body::Out, typename Body::Stages>, 1>{};
    }
};

template <class L>
struct LowerPool : std::false_type {};
template <auto Kernel, auto Stride, auto Padding>
struct LowerPool<MaxPool2d<Kernel, Stride, Padding>> : std::true_type {
    template <PoolSpec S, class P, class T>
    using Stage = MaxPool<S, P, T>;
};
template <auto Kernel, auto Stride, auto Padding>
struct LowerPool<AvgPool2d<Kernel, Stride, Padding>> : std::true_type {
    template <PoolSpec S, class P, class T>
    using Stage = AveragePool<S, P, T>;
};

template <class L>
struct LowerGate : std::false_type {};
template <class A>
struct LowerGate<Gate<A>> : std::true_type {
    using Act = A;
};

template <class L>
struct IsShuffle : std::false_type {};
template <int Groups>
struct IsShuffle<ChannelShuffle<Groups>> : std::true_type {};

/// Whether a layer has a form in precision `P`. CheckedStages reports one that has none.
template <class L, class P>
inline constexpr bool has_form =
    IsConv<L>::value || IsDepthwise<L>::value || IsLinear<L>::value || std::is_same_v<L, BatchNorm2d> ||
    std::is_same_v<L, Flatten> || ActivationLayer<L> || LowerGate<L>::value || LowerPool<L>::value ||
    std::is_same_v<L, GlobalAveragePool> || std::is_same_v<L, LayerNorm> || IsShuffle<L>::value ||
    IsDropout<L>::value || std::is_same_v<L, Identity> || requires { sizeof(LowerComposite<L>); };

/// The first stage of `Nodes`.
template <class P, class In, bool Last, class Nodes>
constexpr auto lower_first() {
    using N = typename decltype(node_at<0>(Nodes{}))::type;
    using Next = typename decltype(node_at<1>(Nodes{}))::type;
    using L = typename N::LayerType;
    constexpr Shape input = N::input;
    if constexpr (IsConv<L>::value || IsDepthwise<L>::value || IsLinear<L>::value) {
        return lower_conv<conv_spec<L, input>(), P, In, Last, 1, Nodes>();
    } else if constexpr (std::is_same_v<L, BatchNorm2d>) {
        return lower_conv<conv_spec<L, input>(), P, In, Last, 0, Nodes>();
    } else if constexpr (std::is_same_v<L, Flatten> && IsLinear<typename Next::LayerType>::value) {
        constexpr ConvSpec spec = [] {
            ConvSpec flat = conv_spec<typename Next::LayerType, Next::input>();
            flat.input = N::input;
            flat.kernel_height = static_cast<int>(N::input.height);
            flat.kernel_width = static_cast<int>(N::input.width);
            return flat;
        }();
        return lower_conv<spec, P, In, Last, 2, Nodes>();
    } else if constexpr (std::is_same_v<L, Flatten>) {
        return Lowered<FlattenMap<input, P, In>, 1>{};
    } else if constexpr (ActivationLayer<L>) {
        using Out = std::conditional_t<never_negative<L>, typename P::Unsigned, typename P::Signed>;
        return Lowered<Activate<L, input, P, In, Out>, 1>{};
    } else if constexpr (LowerGate<L>::value) {
        return Lowered<GateHalves<typename LowerGate<L>::Act, input, P, In, typename P::Signed>, 1>{};
    } else if constexpr (LowerPool<L>::value) {
        constexpr PoolSpec spec{input, N::output, L::kernel_size, L::stride, L::padding};
        return Lowered<typename LowerPool<L>::template Stage<spec, P, In>, 1>{};
    } else if constexpr (std::is_same_v<L, GlobalAveragePool>) {
        return Lowered<GlobalPool<input, P, In>, 1>{};
    } else if constexpr (std::is_same_v<L, LayerNorm>) {
        return Lowered<NormalizePixels<input, P, In, typename P::Signed>, 1>{};
    } else if constexpr (IsShuffle<L>::value) {
        return Lowered<ShuffleChannels<L, input, P, In>, 1>{};
    } else if constexpr (has_form<L, P>) {
        constexpr bool last = Last && std::is_same_v<Next, NoNode>;
        return LowerComposite<L>::template lowered<P, In, input, bound_of<typename Next::LayerType>, last>();
    } else {
        return Lowered<FlattenMap<input, P, In>, 1>{};
    }
}

/// The stages of `Nodes` on a map of `T`s; the last one of a network gives logits.
template <class P, class T, bool Last, class... Done, class Nodes>
constexpr auto lower(StageList<Done...>, Nodes) {
    if constexpr (std::is_same_v<Nodes, NodeList<>>) {
        return StageList<Done...>{};
    } else {
        using First = decltype(lower_first<P, T, Last, Nodes>());
        using Stage = typename First::Stage;
        return lower<P, typename Stage::Out, Last>(StageList<Done..., Stage>{}, drop<First::nodes>(Nodes{}));
    }
}

template <class Net, class P, class... Stages>
constexpr auto with_logits(StageList<Stages...> list) {
    using Out = typename decltype(output_of<void>(list))::type;
    if constexpr (std::is_same_v<Out, typename P::Logit>)
        return list;
    else
        return StageList<Stages..., ToLogits<output_shape<Net>, P, Out>>{};
}

/// The name of the first layer without a form in precision `P`, if there is one.
template <class P>
struct FindLayerWithoutForm {
    std::string_view found{};

    template <class L, Shape>
    constexpr void operator()(const bantam::detail::Path&) {
        if (!has_form<L, P> && found.empty()) found = bantam::detail::layer_name<L>();
    }
};

template <class Net, class P>
struct LayerWithoutForm {
    static constexpr bantam::detail::Sentence sentence = [] {
        bantam::detail::Sentence text;
        FindLayerWithoutForm<P> find;
        bantam::detail::walk<typename Net::Layers, Net::input>(find, {});
        if (find.found.empty()) return text;
        text.append("layer ").append(find.found).append(" has no form in ").append(bantam::detail::type_name<P>());
        return text.append(": docs/deploying.md lists the layers that have one");
    }();
    using Facts = compile_error<std::type_identity<Net>{}, std::type_identity<P>{}>;
};

template <class Net, class P>
struct CheckedStages : bantam::detail::Refusal<LayerWithoutForm<Net, P>> {
    using type = decltype(with_logits<Net, P>(lower<P, typename P::Signed, true>(
        StageList<PixelInput<input_shape<Net>, P>>{}, without_vanishing(typename Net::Nodes{}))));
};

}  // namespace detail

/// Why `Net` has no form in precision `P`; empty where it has one.
template <class Net, class P>
inline constexpr std::string_view form_problem = detail::LayerWithoutForm<Net, P>::sentence.view();

/// What `Net` runs as in precision `P`: from a picture's bytes to logits.
template <class Net, class P>
using StagesOf = typename detail::CheckedStages<Net, P>::type;

}  // namespace bantam::deploy
