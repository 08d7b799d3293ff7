// SPDX-License-Identifier: MIT
#pragma once

// What the compiler prints where a layer does not fit its input: one sentence in a static_assert, and the
// name of an undefined template whose arguments are the facts. Compilers differ in which of the two they
// show in full.

#include <bantam/base/index.hpp>
#include <bantam/core/layer.hpp>
#include <bantam/core/shape.hpp>
#include <bantam/core/shape_text.hpp>
#include <bantam/core/text.hpp>

#include <cstddef>
#include <string_view>
#include <type_traits>

namespace bantam {

/// Position in the sequence that holds the layer, from 0.
template <int At>
struct LayerNumber;
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

template <std::size_t At, class First, class... Rest>
struct LayerAt : LayerAt<At - 1, Rest...> {};
template <class First, class... Rest>
struct LayerAt<0, First, Rest...> {
    using type = First;
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
    text.append(shape_text(Facts.given).view());
    if (Facts.other_path >= 0)
        text.append(", path ").append_number(Facts.other_path).append(" gives ");
    else
        text.append(", needed is ");
    text.append(shape_text(Facts.needed).view());
    return text;
}

template <class L, int At>
struct PathAt {
    template <class... Cs>
    static auto select(ChildList<Cs...>) -> LayerAt<static_cast<std::size_t>(At), Cs...>;
    using type = typename decltype(select(typename L::Children{}))::type;
};

template <class L, int At, class GivenShape>
struct PathWithShape {
    using type = PathThatGives<typename PathAt<L, At>::type, GivenShape>;
};

// The assertions are in classes, because a failed assertion in a class causes no further errors where the class
// is used. There are two classes, because clang stops reading a class at its first failed assertion.

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
        typename std::conditional_t<(Facts.other_path >= 0), PathWithShape<Failing, Facts.other_path, NeededShape>,
                                    std::type_identity<FailingLayer<Failing, NeededShape>>>::type;
};

}  // namespace detail
}  // namespace bantam
