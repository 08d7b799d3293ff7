// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/core/diagnostics.hpp>
#include <bantam/core/layer_mistakes.hpp>
#include <bantam/core/visit.hpp>
#include <bantam/exec/activation_functions.hpp>
#include <bantam/exec/chain.hpp>
#include <bantam/exec/fusion.hpp>
#include <bantam/exec/missing_operation.hpp>

#include <type_traits>

namespace bantam {
namespace detail {

/// Whether every layer can run on `Backend`. Composites run by the operations of their layers.
template <class Backend, class S>
struct FindMissingOperation {
    Sentence found;

    template <class L, Shape Input>
    constexpr void operator()(const Path&) {
        if constexpr (!CompositeLayer<L>) {
            if constexpr (requires { typename Backend::template Operation<L, Input, S>::MissingFrom; }) {
                using Missing = typename Backend::template Operation<L, Input, S>::MissingFrom;
                if (found.size() == 0) found = missing_operation_sentence(layer_name<L>(), Missing::name);
            } else if constexpr (ActivationLayer<L> && !requires { exec::ActivationFunction<L>::cheap; }) {
                if (found.size() > 0) return;
                found.append("activation ").append(layer_name<L>()).append(" has no formula: specialize ");
                found.append("exec::ActivationFunction for it, see docs/adding-a-layer.md");
            }
        }
    }
};

template <class Backend, class L, Shape Input, class S>
struct OperationMistake {
    static constexpr Sentence sentence = [] {
        FindMissingOperation<Backend, S> find;
        if constexpr (!LayersMistake<L, Input>::mistake) walk<L, Input>(find, Path{});
        return find.found;
    }();
    using Facts = compile_error<std::type_identity<L>{}, std::type_identity<Backend>{}>;
};

}  // namespace detail

namespace exec {

/// The chain of `L` (a layer, a block, a sequence) on `Input`. Where a layer cannot run on `Backend`, the compiler
/// prints a sentence that names it, and the chain is empty.
template <class Backend, class L, Shape Input, class S,
          bool Runs = bantam::detail::OperationMistake<Backend, L, Input, S>::sentence.size() == 0>
struct CheckedChain : ChainOf<Backend, L, Input, S> {};

template <class Backend, class L, Shape Input, class S>
struct CheckedChain<Backend, L, Input, S, false>
    : bantam::detail::Refusal<bantam::detail::OperationMistake<Backend, L, Input, S>> {
    using type = StageChain<Backend, S, StageList<>>;
};

}  // namespace exec
}  // namespace bantam
