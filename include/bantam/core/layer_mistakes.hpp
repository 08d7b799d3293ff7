// SPDX-License-Identifier: MIT
#pragma once

// What is wrong with the layers of a network, found before anything else reads them, and the sentence about it.

#include <bantam/base/index.hpp>
#include <bantam/core/diagnostics.hpp>
#include <bantam/core/layer.hpp>
#include <bantam/core/sequence.hpp>
#include <bantam/core/shape.hpp>
#include <bantam/core/shape_text.hpp>
#include <bantam/core/text.hpp>

#include <array>
#include <concepts>
#include <cstddef>
#include <string_view>
#include <type_traits>
#include <utility>

namespace bantam {
namespace detail {

constexpr std::string_view reason_text(Reason reason) {
    switch (reason) {
        case Reason::kernel_larger_than_image:
            return "the kernel is larger than the padded image";
        case Reason::groups_do_not_divide_channels:
            return "the groups do not divide the channels";
        case Reason::groups_do_not_divide_output:
            return "the groups do not divide the output channels";
        case Reason::map_was_not_pooled:
            return "a classifier on a map that was not pooled or flattened";
        case Reason::residual_paths_differ:
            return "body and shortcut of the residual give different shapes";
        case Reason::branches_differ:
            return "the branches give shapes that cannot be joined";
        case Reason::split_does_not_divide_channels:
            return "the split does not divide the channels";
        case Reason::channels_must_be_even:
            return "the channels must be even";
        case Reason::gate_must_be_one_pixel_of_all_channels:
            return "a gate must give one pixel with all channels";
        case Reason::ensemble_members_differ:
            return "the members of the ensemble give different shapes";
        default:
            return "";
    }
}

/// What to write instead, where the shapes do not say it.
constexpr std::string_view remedy(Reason reason) {
    switch (reason) {
        case Reason::kernel_larger_than_image:
            return "; use a smaller kernel, more padding or fewer strides before it";
        case Reason::map_was_not_pooled:
            return "; put GlobalAveragePool or Flatten before it";
        case Reason::residual_paths_differ:
            return "; ProjectedResidual<projection, layers...> changes the shape of both";
        default:
            return "";
    }
}

/// The type's name as the compiler writes it.
template <class T>
constexpr std::string_view type_name() {
    std::string_view text = __PRETTY_FUNCTION__;
    text.remove_prefix(text.find("T = ") != text.npos ? text.find("T = ") + 4 : text.find("T=") + 2);
    return text.substr(0, text.find_first_of(";]"));
}

template <class L>
constexpr std::string_view layer_name() {
    if constexpr (NamedLayer<L>)
        return layer_name<typename L::Wrapped>();
    else if constexpr (requires { std::string_view{L::name}; })
        return L::name;
    else if constexpr (SequenceLayer<L>)
        return "Sequence";
    else
        return type_name<L>();
}

/// A layer that holds the one with a mistake, and the name of the path inside it.
struct Enclosing {
    Index position;
    std::string_view layer;
    Text<16> path;
};

struct Mistake {
    Reason reason = Reason::none;
    Index position = -1;          ///< in the sequence that holds the layer, from 0; −1 if it is not about a layer
    std::string_view layer{};     ///< its name
    std::string_view previous{};  ///< the layer before it; empty for the first
    std::string_view text{};      ///< where `reason` has no text of its own
    Shape given{}, needed{};
    int path = -1, other_path = -1;  ///< as in Misfit
    std::array<Enclosing, 8> around{};
    std::size_t depth = 0;

    constexpr explicit operator bool() const { return reason != Reason::none; }
    constexpr Mistake inside(const Enclosing& outer) const {
        Mistake result = *this;
        if (*this && depth < around.size()) result.around[result.depth++] = outer;
        return result;
    }
};

constexpr Sentence sentence_of(const Mistake& mistake) {
    Sentence text;
    if (!mistake) return text;
    for (std::size_t i = mistake.depth; i-- > 0;) {
        const Enclosing& outer = mistake.around[i];
        text.append("in layer ").append_number(outer.position).append(' ').append(outer.layer);
        if (outer.path.length > 0) text.append(", path ").append(outer.path.view());
        text.append(": ");
    }
    if (mistake.position >= 0) text.append("layer ").append_number(mistake.position).append(' ').append(mistake.layer);
    if (mistake.reason >= Reason::invalid_arguments)
        return text.append(mistake.position >= 0 ? ": " : "").append(mistake.text);
    text.append(" does not fit: ").append(reason_text(mistake.reason)).append(mistake.text).append("; ");
    if (mistake.path >= 0)
        text.append("path ").append_number(mistake.path).append(" gives ");
    else if (mistake.reason == Reason::groups_do_not_divide_output)
        text.append("it gives ");
    else if (mistake.previous.empty())
        text.append("its input is ");
    else
        text.append("layer ")
            .append_number(mistake.position - 1)
            .append(' ')
            .append(mistake.previous)
            .append(" gives ");
    text.append(shape_text(mistake.given).view());
    if (mistake.other_path >= 0)
        text.append(", path ").append_number(mistake.other_path).append(" gives ");
    else
        text.append(", needed is ");
    return text.append(shape_text(mistake.needed).view()).append(remedy(mistake.reason));
}

// First the types by themselves: nothing else may be read from what is not a layer.

/// `ReLU()` as a template argument is the type of a function that returns a ReLU.
template <class L>
struct WrittenAsValue : std::false_type {};
template <class L>
struct WrittenAsValue<L()> : std::true_type {
    using Meant = L;
};

template <class L>
concept LayerDescription = std::derived_from<L, Layer> && requires { std::string_view{L::name}; };

template <class T>
concept ImageType = requires {
    { T::shape } -> std::convertible_to<Shape>;
};

template <class L>
constexpr Mistake type_mistake(Index position);

template <class... Ls>
constexpr Mistake types_mistake(Sequence<Ls...>) {
    Mistake found;
    Index position = 0;
    static_cast<void>(((found = type_mistake<Ls>(position++)) || ...));
    return found;
}

/// Replaces the layers of a network that was refused, so that no other errors follow.
struct RefusedLayers {
    using Layers = Sequence<>;
    static constexpr Shape output_shape(Shape input) { return input; }
};

template <class L>
constexpr Mistake path_types_mistake() {
    constexpr bool layers = SequenceLayer<L> && requires { L::output_shape(Shape{}); };
    if constexpr (std::is_same_v<L, RefusedLayers>)
        return {};
    else if constexpr (layers && !std::is_same_v<L, Sequence<>>)
        return types_mistake(typename L::Layers{});
    else
        return types_mistake(Sequence<L>{});
}

template <class L, class... Cs>
constexpr Mistake children_types_mistake(Index position, ChildList<Cs...>) {
    Mistake found;
    int child = 0;
    static_cast<void>(
        ((found = path_types_mistake<Cs>().inside({position, layer_name<L>(), L::child_name(child++)})) || ...));
    return found;
}

/// What is wrong with `L` whatever its input.
template <class L>
constexpr Mistake type_mistake(Index position) {
    const auto mistake = [&](Reason reason, std::string_view text) {
        Mistake result;
        result.reason = reason;
        result.position = position;
        result.layer = layer_name<L>();
        result.text = text;
        return result;
    };
    if constexpr (WrittenAsValue<L>::value) {
        Mistake result = mistake(Reason::not_a_layer, "write it without (): a layer is a type, not a value");
        result.layer = layer_name<typename WrittenAsValue<L>::Meant>();
        return result;
    } else if constexpr (std::is_class_v<L> && !requires { sizeof(L); }) {
        return mistake(Reason::not_a_layer, "it is declared and not defined here: include its header");
    } else if constexpr (NamedLayer<L>) {
        return type_mistake<typename L::Wrapped>(position);
    } else if constexpr (ImageType<L>) {
        return mistake(Reason::not_a_layer, "the image stands once, before all layers");
    } else if constexpr ((SequenceLayer<L> || BlockLayer<L>) && !requires { L::output_shape(Shape{}); }) {
        return mistake(Reason::not_a_layer, "a network is not a layer: write Net::Layers for its layers in order");
    } else if constexpr (!SequenceLayer<L> && !BlockLayer<L> && !std::derived_from<L, Layer>) {
        return mistake(Reason::not_a_layer,
                       std::is_base_of_v<Layer, L>
                           ? "it derives from bantam::Layer privately: write `public bantam::Layer`"
                           : "it is not a layer: derive it from bantam::Layer (docs/adding-a-layer.md)");
    } else if constexpr (!SequenceLayer<L> && !BlockLayer<L> && !LayerDescription<L>) {
        return mistake(Reason::not_a_layer,
                       "it has no name: add a public member `static constexpr std::string_view name`");
    } else {
        if constexpr (requires { L::argument_error(); })
            if (!L::argument_error().empty()) return mistake(Reason::invalid_arguments, L::argument_error());
        if constexpr (BlockLayer<L>) {
            return {};
        } else if constexpr (SequenceLayer<L>) {
            if (L::Layers::size == 0)
                return mistake(Reason::no_layers,
                               "a sequence has at least one layer: write Identity where none is meant");
            return types_mistake(typename L::Layers{}).inside({position, layer_name<L>(), {}});
        } else if constexpr (CompositeLayer<L>) {
            return children_types_mistake<L>(position, typename L::Children{});
        } else {
            return {};
        }
    }
}

// Then the shapes.

template <class L>
constexpr Misfit misfit_of(Shape input) {
    if constexpr (requires { L::misfit(input); })
        return L::misfit(input);
    else if constexpr (NamedLayer<L>)
        return misfit_of<typename L::Wrapped>(input);
    else
        return {};
}

template <class L, Shape Input>
constexpr Mistake path_mistake();

template <class L, Shape Input, class... Cs, std::size_t... Is>
constexpr Mistake children_mistake(Index position, ChildList<Cs...>, std::index_sequence<Is...>) {
    Mistake found;
    static_cast<void>(((found = path_mistake<Cs, L::child_input(Input, static_cast<int>(Is))>().inside(
                            {position, layer_name<L>(), L::child_name(static_cast<int>(Is))})) ||
                       ...));
    return found;
}

/// The first mistake inside `L`. `Reached` is false behind a layer that does not fit.
template <class L, Shape Input, bool Reached>
constexpr Mistake mistake_inside(Index position) {
    if constexpr (!Reached)
        return {};
    else if constexpr (NamedLayer<L>)
        return mistake_inside<typename L::Wrapped, Input, true>(position);
    else if constexpr (SequenceLayer<L> || BlockLayer<L>)
        return path_mistake<L, Input>().inside({position, layer_name<L>(), {}});
    else if constexpr (CompositeLayer<L>)
        return children_mistake<L, Input>(position, typename L::Children{},
                                          std::make_index_sequence<static_cast<std::size_t>(L::Children::count)>{});
    else
        return {};
}

/// The first of the layers that does not fit its input, or their number.
template <Shape Input, class... Ls>
constexpr std::size_t first_misfit() {
    std::size_t index = 0;
    static_cast<void>(((!misfit_of<Ls>(sequence_shapes<Input, Ls...>[index]) && (++index, true)) && ...));
    return index;
}

template <Shape Input, class... Ls, std::size_t... Is>
constexpr Mistake sequence_mistake(Sequence<Ls...>, std::index_sequence<Is...>) {
    constexpr std::size_t misfit = first_misfit<Input, Ls...>();
    Mistake found;
    static_cast<void>(((found = mistake_inside<Ls, sequence_shapes<Input, Ls...>[Is], Is <= misfit>(Is)) || ...));
    if constexpr (misfit < sizeof...(Ls)) {
        if (found) return found;
        constexpr std::array<std::string_view, sizeof...(Ls)> names{layer_name<Ls>()...};
        const std::array<Misfit (*)(Shape), sizeof...(Ls)> misfits{misfit_of<Ls>...};
        const Misfit facts = misfits[misfit](sequence_shapes<Input, Ls...>[misfit]);
        found.reason = facts.reason;
        found.position = static_cast<Index>(misfit);
        found.layer = names[misfit];
        if (misfit > 0) found.previous = names[misfit - 1];
        found.text = facts.text;
        found.given = facts.given;
        found.needed = facts.needed;
        found.path = facts.path;
        found.other_path = facts.other_path;
    }
    return found;
}

/// The first mistake of a path: a layer, a block or a sequence.
template <class L, Shape Input>
constexpr Mistake path_mistake() {
    if constexpr (NamedLayer<L>)
        return path_mistake<typename L::Wrapped, Input>();
    else if constexpr (BlockLayer<L>)
        return path_mistake<typename L::template Expansion<Input>, Input>();
    else if constexpr (SequenceLayer<L>)
        return sequence_mistake<Input>(typename L::Layers{}, std::make_index_sequence<L::Layers::size>{});
    else
        return sequence_mistake<Input>(Sequence<L>{}, std::make_index_sequence<1>{});
}

template <class L, Shape Input>
struct LayersMistake {
    static constexpr Mistake mistake = [] {
        if constexpr (std::is_same_v<L, RefusedLayers>) {
            return Mistake{};
        } else if constexpr (constexpr Mistake found = path_types_mistake<L>(); found) {
            return found;
        } else {
            return path_mistake<L, Input>();
        }
    }();
    static constexpr Sentence sentence = sentence_of(mistake);
    using Facts = compile_error<mistake.reason, mistake.position, mistake.given, mistake.needed>;
};

/// What is wrong with the last of a network's layers in that place: its `last_layer_error` says it.
template <class... Ls>
constexpr Mistake last_layer_mistake() {
    Mistake found;
    Index position = 0;
    const auto look_at = [&]<class L>(std::type_identity<L>) {
        if constexpr (requires { L::last_layer_error(); }) {
            if (position + 1 == Index{sizeof...(Ls)}) {
                found.reason = Reason::invalid_arguments;
                found.position = position;
                found.layer = layer_name<L>();
                found.text = L::last_layer_error();
            }
        }
        ++position;
    };
    (look_at(std::type_identity<Ls>{}), ...);
    return found;
}

/// Compiles where the layers of `L` fit.
template <class L, Shape Input, bool Fits = !LayersMistake<L, Input>::mistake>
struct CheckedNodes {
    using type = typename ListNodes<L, Input>::type;
};
template <class L, Shape Input>
struct CheckedNodes<L, Input, false> : Refusal<LayersMistake<L, Input>> {
    using type = NodeList<>;
};

}  // namespace detail

/// The nodes that `L` (a layer, a block or a sequence) stands for on `Input`. Where a layer inside it does not fit, the
/// compiler prints a sentence about it.
template <class L, Shape Input>
using NodesOf = typename detail::CheckedNodes<L, Input>::type;

}  // namespace bantam
