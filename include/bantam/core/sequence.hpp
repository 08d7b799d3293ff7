// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/core/layer.hpp>
#include <bantam/core/shape.hpp>
#include <bantam/core/text.hpp>

#include <array>
#include <cstddef>
#include <string_view>
#include <utility>

namespace bantam {

/// Layers in order. A nested sequence runs as if its layers stood in the outer one.
template <class... Ls>
struct Sequence {
    using Layers = Sequence;
    static constexpr std::size_t size = sizeof...(Ls);

    static constexpr Shape output_shape(Shape input) {
        ((input = Ls::output_shape(input)), ...);
        return input;
    }
};

/// A layer whose tensors have the given name in checkpoints instead of the layer's position:
/// `Named<"conv1", Conv2d<…>>` stores `conv1.weight`.
template <Literal Name, class L>
struct Named {
    using Wrapped = L;
    static constexpr std::string_view path = Name.view();

    static constexpr Shape output_shape(Shape input) { return L::output_shape(input); }
};

template <class L>
concept NamedLayer = requires { typename L::Wrapped; };

/// Output equals input.
struct Identity : Layer {
    static constexpr std::string_view name = "Identity";
};

/// One layer of a network with its input shape.
template <class L, Shape Input>
struct Node {
    using LayerType = L;
    static constexpr Shape input = Input;
    static constexpr Shape output = L::output_shape(Input);
};

/// The layers of a network in order: primitive layers and composites. Sequences and blocks are written out;
/// only the paths inside composites stay nested.
template <class... Nodes>
struct NodeList {
    static constexpr std::size_t size = sizeof...(Nodes);
};

template <class... As, class... Bs>
constexpr NodeList<As..., Bs...> operator+(NodeList<As...>, NodeList<Bs...>) {
    return {};
}

/// The input shape of each layer of a sequence, and the output shape of the last one.
template <Shape Input, class... Ls>
inline constexpr std::array<Shape, sizeof...(Ls) + 1> sequence_shapes = [] {
    std::array<Shape, sizeof...(Ls) + 1> shapes{};
    std::size_t i = 0;
    shapes[0] = Input;
    ((shapes[i + 1] = Ls::output_shape(shapes[i]), ++i), ...);
    return shapes;
}();

namespace detail {

template <class L, Shape Input>
struct ListNodes {
    using type = NodeList<Node<L, Input>>;
};

template <class L, Shape Input>
using list_nodes = typename ListNodes<L, Input>::type;

template <NamedLayer L, Shape Input>
struct ListNodes<L, Input> : ListNodes<typename L::Wrapped, Input> {};

template <BlockLayer L, Shape Input>
struct ListNodes<L, Input> : ListNodes<typename L::template Expansion<Input>, Input> {
    static_assert(L::output_shape(Input) == L::template Expansion<Input>::output_shape(Input));
};

template <SequenceLayer L, Shape Input>
    requires(!BlockLayer<L>)
struct ListNodes<L, Input> {
    template <class... Ls, std::size_t... Is>
    static auto join(Sequence<Ls...>, std::index_sequence<Is...>) {
        return (NodeList<>{} + ... + list_nodes<Ls, sequence_shapes<Input, Ls...>[Is]> {});
    }
    using type = decltype(join(typename L::Layers{}, std::make_index_sequence<L::Layers::size>{}));
};

}  // namespace detail

}  // namespace bantam
