// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/core/layer.hpp>
#include <bantam/core/shape.hpp>
#include <bantam/core/text.hpp>

#include <array>
#include <cstddef>
#include <type_traits>
#include <utility>

namespace bantam {

/// Layers one after the other. Nested sequences run as if written out in the outer one.
template <class... Ls>
struct Sequence {
    using Layers = Sequence;
    static constexpr std::size_t size = sizeof...(Ls);

    static constexpr Shape output_shape(Shape input) {
        ((input = Ls::output_shape(input)), ...);
        return input;
    }
};

/// A layer whose tensors carry a name of the user's in checkpoints in place of its position:
/// `Named<"conv1", Conv2d<…>>` stores `conv1.weight`.
template <Literal Name, class L>
struct Named {
    using Wrapped = L;
    static constexpr std::string_view path = Name.view();

    static constexpr Shape output_shape(Shape input) { return L::output_shape(input); }
};

template <class L>
concept NamedLayer = requires { typename L::Wrapped; };

/// Passes its input on.
struct Identity : Layer {
    static constexpr std::string_view name = "Identity";
};

/// One layer of the flattened network together with the shape that reaches it.
template <class L, Shape Input>
struct Node {
    using LayerType = L;
    static constexpr Shape input = Input;
    static constexpr Shape output = L::output_shape(Input);
};

/// The flattened network: primitive and composite layers, nothing nested but the composites' paths.
template <class... Nodes>
struct NodeList {
    static constexpr std::size_t size = sizeof...(Nodes);
};

template <class... As, class... Bs>
constexpr NodeList<As..., Bs...> operator+(NodeList<As...>, NodeList<Bs...>) {
    return {};
}

/// The shape in front of each layer of a sequence, and the last one's output.
template <Shape Input, class... Ls>
inline constexpr std::array<Shape, sizeof...(Ls) + 1> sequence_shapes = [] {
    std::array<Shape, sizeof...(Ls) + 1> shapes{};
    std::size_t i = 0;
    shapes[0] = Input;
    ((shapes[i + 1] = Ls::output_shape(shapes[i]), ++i), ...);
    return shapes;
}();

// What a compiler prints of a misfit: the name of an undefined template with the facts in it.
template <int At>
struct LayerNumber;  // position in the sequence that holds it, from 0
template <Index Height, Index Width, Index Channels>
struct ShapeOf;
template <class L, class Given>
struct PreviousLayer;
template <class L, class Needed>
struct FailingLayer;
template <class L, class Given>
struct PathThatGives;
/// Never defined: its appearance in a compiler's output is the error message.
template <Reason Why, class Position, class Previous, class Failing>
struct layer_does_not_fit;

namespace detail {

struct NetworkInput;

template <class L>
constexpr Misfit misfit_of(Shape input) {
    if constexpr (requires { L::misfit(input); })
        return L::misfit(input);
    else
        return {};
}

template <Shape Input, class... Ls>
constexpr int first_misfit() {
    int found = -1;
    int index = 0;
    ((found =
          found < 0 && misfit_of<Ls>(sequence_shapes<Input, Ls...>[static_cast<std::size_t>(index)]) ? index : found,
      ++index),
     ...);
    return found;
}

template <std::size_t At, class First, class... Rest>
struct LayerAt : LayerAt<At - 1, Rest...> {};
template <class First, class... Rest>
struct LayerAt<0, First, Rest...> {
    using type = First;
};

template <class L>
struct Unwrap {
    using type = L;
};
template <NamedLayer L>
struct Unwrap<L> {
    using type = typename Unwrap<typename L::Wrapped>::type;
};

constexpr std::string_view reason_text(Reason reason) {
    switch (reason) {
        case Reason::none:
            return "fits";
        case Reason::kernel_larger_than_image:
            return "the kernel is larger than the padded image";
        case Reason::groups_do_not_divide_channels:
            return "the groups do not divide the channels";
        case Reason::groups_do_not_divide_output:
            return "the groups do not divide the output channels";
        case Reason::map_was_not_pooled:
            return "a classifier on a map that was not pooled or flattened";
        case Reason::residual_paths_differ:
            return "the residual's body and shortcut give different shapes";
        case Reason::branches_differ:
            return "the branches give shapes that cannot be joined";
        case Reason::split_does_not_divide_channels:
            return "the split does not divide the channels";
        case Reason::channels_must_be_even:
            return "the channels must be even";
        case Reason::gate_must_be_one_pixel_of_all_channels:
            return "a gate must give one pixel with all channels";
        case Reason::ensemble_members_differ:
            return "the ensemble's members give different shapes";
    }
    return "";
}

template <class L>
constexpr std::string_view layer_name() {
    if constexpr (requires { L::name; })
        return L::name;
    else
        return "Sequence";
}

constexpr void append_shape(auto& text, Shape shape) {
    text.append_number(shape.height).append('x').append_number(shape.width).append('x').append_number(shape.channels);
}

/// The sentence for compilers that print a computed static_assert message (C++26).
template <int At, class Previous, class Failing, Misfit Facts>
constexpr auto misfit_sentence() {
    Text<320> text;
    text.append("layer ").append_number(At).append(' ').append(layer_name<Failing>());
    text.append(" does not fit: ").append(reason_text(Facts.reason)).append("; ");
    if (Facts.path >= 0)
        text.append("path ").append_number(Facts.path).append(" gives ");
    else if (Facts.reason == Reason::groups_do_not_divide_output)
        text.append("it gives ");
    else if (At == 0)
        text.append("its input is ");
    else
        text.append("layer ").append_number(At - 1).append(' ').append(layer_name<Previous>()).append(" gives ");
    append_shape(text, Facts.given);
    if (Facts.other_path >= 0)
        text.append(", path ").append_number(Facts.other_path).append(" gives ");
    else
        text.append(", needed is ");
    append_shape(text, Facts.needed);
    return text;
}

template <class L, int At>
struct PathAt {
    template <class... Cs>
    static auto select(ChildList<Cs...>) -> LayerAt<static_cast<std::size_t>(At), Cs...>;
    using type = typename decltype(select(typename L::Children{}))::type;
};

template <class L, int At, class ItsShape>
struct PathParty {
    using type = PathThatGives<typename PathAt<L, At>::type, ItsShape>;
};

// Classes and not functions: a failed assertion in a class causes no further errors where it is used.
// Two of them, since clang reads a class no further than its first failed assertion.

template <int At, class Previous, class Failing, Misfit Facts>
struct MisfitSentence {
#if defined(__cpp_static_assert) && __cpp_static_assert >= 202306L
    static_assert(Facts.reason == Reason::none, (misfit_sentence<At, Previous, Failing, Facts>()));
#else
    static_assert(Facts.reason == Reason::none,
                  "a layer does not fit: see layer_does_not_fit<reason, position in its sequence, what is "
                  "given, what is needed> below");
#endif
};

template <Reason Why, class Position, class Given, class Needed>
struct MisfitFacts {
    static_assert(sizeof(layer_does_not_fit<Why, Position, Given, Needed>) > 0);
};

template <Misfit Facts, class Previous, class Failing>
struct MisfitParties {
    using Given = PreviousLayer<Previous, ShapeOf<Facts.given.height, Facts.given.width, Facts.given.channels>>;
    using Needed = FailingLayer<Failing, ShapeOf<Facts.needed.height, Facts.needed.width, Facts.needed.channels>>;
};
template <Misfit Facts, class Previous, class Failing>
    requires(Facts.path >= 0)
struct MisfitParties<Facts, Previous, Failing> {
    using Given = PathThatGives<typename PathAt<Failing, Facts.path>::type,
                                ShapeOf<Facts.given.height, Facts.given.width, Facts.given.channels>>;
    using NeededShape = ShapeOf<Facts.needed.height, Facts.needed.width, Facts.needed.channels>;
    using Needed =
        typename std::conditional_t<(Facts.other_path >= 0), PathParty<Failing, Facts.other_path, NeededShape>,
                                    std::type_identity<FailingLayer<Failing, NeededShape>>>::type;
};

template <class L, Shape Input>
struct Flatten;

/// Reports layer `At` of a sequence, after whatever does not fit inside it.
template <int At, Shape Input, class... Ls>
constexpr void report_misfit() {
    constexpr auto index = static_cast<std::size_t>(At);
    using Failing = typename Unwrap<typename LayerAt<index, Ls...>::type>::type;
    using Previous = typename Unwrap<typename LayerAt<index, NetworkInput, Ls...>::type>::type;
    constexpr Shape shape = sequence_shapes<Input, Ls...>[index];
    constexpr Misfit facts = misfit_of<Failing>(shape);
    if constexpr (CompositeLayer<Failing> && facts.path >= 0)
        static_cast<void>(sizeof(typename Flatten<Failing, shape>::type));
    static_cast<void>(sizeof(MisfitSentence<At, Previous, Failing, facts>));
    using Parties = MisfitParties<facts, Previous, Failing>;
    static_cast<void>(
        sizeof(MisfitFacts<facts.reason, LayerNumber<At>, typename Parties::Given, typename Parties::Needed>));
}

template <class L, Shape Input>
struct Flatten {
    using type = NodeList<Node<L, Input>>;
};

template <class L, Shape Input>
using flatten_t = typename Flatten<L, Input>::type;

template <NamedLayer L, Shape Input>
struct Flatten<L, Input> : Flatten<typename L::Wrapped, Input> {};

template <CompositeLayer L, Shape Input>
struct Flatten<L, Input> {
    // Flattening the paths here checks that their layers fit, too.
    template <class... Cs, std::size_t... Is>
    static constexpr bool paths_fit(ChildList<Cs...>, std::index_sequence<Is...>) {
        return ((sizeof(flatten_t<Sequence<Cs>, L::child_input(Input, static_cast<int>(Is))>) > 0) && ...);
    }
    static_assert(paths_fit(typename L::Children{},
                            std::make_index_sequence<static_cast<std::size_t>(L::Children::count)>{}));
    using type = NodeList<Node<L, Input>>;
};

template <BlockLayer L, Shape Input>
struct Flatten<L, Input> : Flatten<typename L::template Expansion<Input>, Input> {
    static_assert(L::output_shape(Input) == L::template Expansion<Input>::output_shape(Input));
};

template <SequenceLayer L, Shape Input>
    requires(!BlockLayer<L>)
struct Flatten<L, Input> {
    template <class... Ls, std::size_t... Is>
    static auto join(Sequence<Ls...>, std::index_sequence<Is...>) {
        static_assert(sizeof...(Ls) > 0, "a sequence has at least one layer");
        constexpr int misfit = first_misfit<Input, Ls...>();
        if constexpr (misfit < 0) {
            return (NodeList<>{} + ... + flatten_t<Ls, sequence_shapes<Input, Ls...>[Is]> {});
        } else {
            report_misfit<misfit, Input, Ls...>();
            return NodeList<>{};
        }
    }
    using type = decltype(join(typename L::Layers{}, std::make_index_sequence<L::Layers::size>{}));
};

}  // namespace detail

/// The flat list of nodes that `L` (a layer, a block or a sequence) stands for on `Input`.
template <class L, Shape Input>
using flatten = detail::flatten_t<Sequence<L>, Input>;

namespace detail {

using Path = Text<96>;

constexpr Path joined(Path path, std::string_view part) {
    if (path.length > 0 && !part.empty()) path.append('.');
    return path.append(part);
}

constexpr Path joined(Path path, std::size_t index) {
    if (path.length > 0) path.append('.');
    return path.append_number(static_cast<Index>(index));
}

/// The path of a layer that stands at `position` under `path`: its own name where it has one.
template <class L>
constexpr Path path_of(const Path& path, const auto& position) {
    if constexpr (NamedLayer<L>)
        return joined(path, L::path);
    else
        return joined(path, position);
}

template <class L, Shape Input, class Visitor>
constexpr void walk(Visitor& visit, const Path& path);

template <Shape Input, class Visitor, class... Ls, std::size_t... Is>
constexpr void walk_sequence(Visitor& visit, const Path& path, Sequence<Ls...>, std::index_sequence<Is...>) {
    (walk<Ls, sequence_shapes<Input, Ls...>[Is]>(visit, path_of<Ls>(path, Is)), ...);
}

template <class L, Shape Input, class Visitor, class... Cs, std::size_t... Is>
constexpr void walk_children(Visitor& visit, const Path& path, ChildList<Cs...>, std::index_sequence<Is...>) {
    (walk<Cs, L::child_input(Input, static_cast<int>(Is))>(
         visit, path_of<Cs>(path, L::child_name(static_cast<int>(Is)).view())),
     ...);
}

/// Calls `visit.template operator()<Layer, Input>(path)` for every primitive and composite layer, in
/// the order of storage; a composite comes after the layers it is made of.
template <class L, Shape Input, class Visitor>
constexpr void walk(Visitor& visit, const Path& path) {
    if constexpr (NamedLayer<L>) {
        walk<typename L::Wrapped, Input>(visit, path);
    } else if constexpr (BlockLayer<L>) {
        walk<typename L::template Expansion<Input>, Input>(visit, path);
    } else if constexpr (SequenceLayer<L>) {
        walk_sequence<Input>(visit, path, typename L::Layers{}, std::make_index_sequence<L::Layers::size>{});
    } else if constexpr (CompositeLayer<L>) {
        walk_children<L, Input>(visit, path, typename L::Children{},
                                std::make_index_sequence<static_cast<std::size_t>(L::Children::count)>{});
        visit.template operator()<L, Input>(path);
    } else if constexpr (!std::is_same_v<L, Identity>) {
        visit.template operator()<L, Input>(path);
    }
}

}  // namespace detail
}  // namespace bantam
