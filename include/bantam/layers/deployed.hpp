// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/core/network.hpp>
#include <bantam/layers/branches.hpp>
#include <bantam/layers/foldable_add.hpp>
#include <bantam/layers/repeat.hpp>
#include <bantam/layers/residual.hpp>
#include <bantam/layers/squeeze_excite.hpp>

#include <cstddef>
#include <type_traits>
#include <utility>

namespace bantam {

namespace detail {

/// What a layer is when deployed; itself, unless it is or contains a FoldableAdd.
template <class L, Shape Input>
struct DeployedLayer {
    using type = L;
};
template <class L, Shape Input>
using deployed_layer = typename DeployedLayer<L, Input>::type;

template <class... Paths, Shape Input>
struct DeployedLayer<FoldableAdd<Paths...>, Input> {
    using type = typename FoldableAdd<Paths...>::Deployed;
};

template <Literal Name, class L, Shape Input>
struct DeployedLayer<Named<Name, L>, Input> {
    using type = Named<Name, deployed_layer<L, Input>>;
};

/// `L`, where `Folded` is what it stands for, else `Folded`.
template <class L, class Inside, class Folded>
using changed = std::conditional_t<std::is_same_v<Inside, Folded>, L, Folded>;

template <BlockLayer L, Shape Input>
struct DeployedLayer<L, Input> {
    using Inside = typename L::template Expansion<Input>;
    using type = changed<L, Inside, deployed_layer<Inside, Input>>;
};

template <SequenceLayer L, Shape Input>
    requires(!BlockLayer<L>)
struct DeployedLayer<L, Input> {
    template <class... Ls, std::size_t... Is>
    static auto join(Sequence<Ls...>, std::index_sequence<Is...>)
        -> Sequence<deployed_layer<Ls, sequence_shapes<Input, Ls...>[Is]>...>;
    using Inside = typename L::Layers;
    using type = changed<L, Inside, decltype(join(Inside{}, std::make_index_sequence<Inside::size>{}))>;
};

template <class Body, class Shortcut, Scale Scaled, Shape Input>
struct DeployedLayer<ResidualBlock<Body, Shortcut, Scaled>, Input> {
    using type = ResidualBlock<deployed_layer<Body, Input>, deployed_layer<Shortcut, Input>, Scaled>;
};

template <Fork Forking, Join Joining, class... Paths, Shape Input>
struct DeployedLayer<Branches<Forking, Joining, Paths...>, Input> {
    static constexpr Shape path_input = Branches<Forking, Joining, Paths...>::child_input(Input, 0);
    using type = Branches<Forking, Joining, deployed_layer<Paths, path_input>...>;
};

template <class... Ls, Shape Input>
struct DeployedLayer<ChannelGate<Ls...>, Input> {
    template <class... Folded>
    static auto gate(Sequence<Folded...>) -> ChannelGate<Folded...>;
    using type = decltype(gate(deployed_layer<Sequence<Ls...>, Input>{}));
};

template <int Count, class... Ls, Shape Input>
struct DeployedLayer<Repeat<Count, Ls...>, Input> {
    template <class... Folded>
    static auto repeat(Sequence<Folded...>) -> Repeat<Count, Folded...>;
    using type = decltype(repeat(deployed_layer<Sequence<Ls...>, Input>{}));
};

template <class Trained>
struct DeployedNetwork {
    using Net = KeptNetwork<Trained>;
    template <class... Ls>
    static auto network(Sequence<Ls...>)
        -> Network<Image<static_cast<int>(Net::input.height), static_cast<int>(Net::input.width),
                         static_cast<int>(Net::input.channels)>,
                   Ls...>;
    using Layers = typename Net::Layers;
    using Folded = deployed_layer<Layers, Net::input>;
    using type = typename std::conditional_t<std::is_same_v<Layers, Folded>, std::type_identity<Net>,
                                             decltype(std::type_identity<decltype(network(Folded{}))>{})>::type;
};

}  // namespace detail

/// The network that `Net` is after training: each FoldableAdd is the convolution that it is folded into, a NetAug is
/// its student, and all else stays. `deploy::fold_tensors` of bantam/deploy/fold.hpp computes its tensors.
template <class Net>
using Deployed = typename detail::DeployedNetwork<Net>::type;

}  // namespace bantam
