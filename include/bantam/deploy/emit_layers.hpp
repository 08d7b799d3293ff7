// SPDX-License-Identifier: MIT
// Runs on a PC: follows a network layer by layer to write it for another program.
#pragma once

#include <bantam/core/network.hpp>

#include <cstddef>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

namespace bantam::deploy {

/// A value between two layers of a written network, by its name there. Maps are [N, C, H, W]; a flat value is [N, C].
struct EmittedValue {
    std::string name;
    bool flat = false;
};

namespace detail {

/// Writes a layer by `Form<Layer>::emit<Input>(output, path, value)`, which returns the layer's output; names, blocks
/// and sequences are written out.
template <template <class> class Form, class L, Shape Input, class Output>
EmittedValue emit_layer(Output& output, const bantam::detail::Path& path, EmittedValue value);

template <template <class> class Form, Shape Input, class Output, class... Ls, std::size_t... Is>
EmittedValue emit_sequence(Output& output, const bantam::detail::Path& path, EmittedValue value, Sequence<Ls...>,
                           std::index_sequence<Is...>) {
    ((value = emit_layer<Form, Ls, sequence_shapes<Input, Ls...>[Is]>(output, bantam::detail::path_of<Ls>(path, Is),
                                                                      value)),
     ...);
    return value;
}

template <template <class> class Form, class L, Shape Input, class Output>
EmittedValue emit_layer(Output& output, const bantam::detail::Path& path, EmittedValue value) {
    if constexpr (NamedLayer<L>)
        return emit_layer<Form, typename L::Wrapped, Input>(output, path, value);
    else if constexpr (BlockLayer<L>)
        return emit_layer<Form, typename L::template Expansion<Input>, Input>(output, path, value);
    else if constexpr (SequenceLayer<L>)
        return emit_sequence<Form, Input>(output, path, value, typename L::Layers{},
                                          std::make_index_sequence<L::Layers::size>{});
    else if constexpr (std::is_same_v<L, Identity>)
        return value;
    else
        return Form<L>::template emit<Input>(output, path, value);
}

/// Writes child `I` of a composite layer.
template <template <class> class Form, class L, Shape Input, std::size_t I, class Output, class... Cs>
EmittedValue emit_child(Output& output, const bantam::detail::Path& path, const EmittedValue& value, ChildList<Cs...>) {
    using Child = std::tuple_element_t<I, std::tuple<Cs...>>;
    constexpr int index = static_cast<int>(I);
    return emit_layer<Form, Child, L::child_input(Input, index)>(
        output, bantam::detail::path_of<Child>(path, L::child_name(index).view()), value);
}

}  // namespace detail
}  // namespace bantam::deploy
