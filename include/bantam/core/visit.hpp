// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/core/layer.hpp>
#include <bantam/core/sequence.hpp>
#include <bantam/core/shape.hpp>
#include <bantam/core/text.hpp>

#include <cstddef>
#include <string_view>
#include <type_traits>
#include <utility>

namespace bantam {
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

/// The path of the layer at `position` under `path`: its given name if it has one, else its position.
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

/// Calls `visit.template operator()<Layer, Input>(path)` for every primitive and composite layer in storage order; a
/// composite comes after the layers inside it.
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
