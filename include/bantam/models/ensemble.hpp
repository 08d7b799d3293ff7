// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/core/network.hpp>
#include <bantam/layers/branches.hpp>

#include <type_traits>

namespace bantam {

/// Several networks on the same picture; the output is the mean of their logits. An ensemble is a network itself: it is
/// trained and saved as one, and has the parameters of all members.
template <class First, class... Rest>
struct Ensemble {
    static_assert(((First::input == Rest::input) && ...),
                  "an ensemble's members take pictures of one size and number of channels");
    using Members = Branches<Fork::copy, Join::mean, typename First::Layers, typename Rest::Layers...>;
    static constexpr bool refused = (std::is_same_v<typename First::Layers, detail::RefusedLayers> || ... ||
                                     std::is_same_v<typename Rest::Layers, detail::RefusedLayers>);
    using Layers = std::conditional_t<refused, detail::RefusedLayers, Sequence<Members>>;
    static constexpr Shape input = First::input;
    using Nodes = NodesOf<Layers, input>;
};

/// `MemberWise<Ensemble<…>>` is an ensemble whose members are trained by the loss of each, as if each were trained
/// alone on the same batches, where an Ensemble is trained by the loss of the mean of their logits. The sum of the
/// losses is minimized. A trainer keeps the ensemble.
template <class E>
struct MemberWise;
template <class First, class... Rest>
struct MemberWise<Ensemble<First, Rest...>> {
    using Kept = Ensemble<First, Rest...>;
    static constexpr Index heads = 1 + sizeof...(Rest);
    using Members = Branches<Fork::copy, Join::concatenate, typename First::Layers, typename Rest::Layers...>;
    using Layers = std::conditional_t<Kept::refused, detail::RefusedLayers, Sequence<Members>>;
    static constexpr Shape input = First::input;
    using Nodes = NodesOf<Layers, input>;
};

}  // namespace bantam
