// SPDX-License-Identifier: MIT
#pragma once

// What the compiler prints where a layer has no operation on a backend.

#include <bantam/core/diagnostics.hpp>
#include <bantam/core/layer_mistakes.hpp>
#include <bantam/exec/operation.hpp>

#include <string_view>
#include <type_traits>

namespace bantam {
namespace detail {

constexpr Sentence missing_operation_sentence(std::string_view layer, std::string_view backend) {
    Sentence text;
    text.append("layer ").append(layer).append(" has no operation on backend ").append(backend);
    text.append("; include its header under bantam/").append(backend);
    return text.append("/layers or write one, see docs/adding-a-layer.md");
}

template <class L, class BackendName>
struct LayerWithoutOperation {
    static constexpr Sentence sentence = missing_operation_sentence(layer_name<L>(), BackendName::name);
    using Facts = compile_error<std::type_identity<L>{}, BackendName{}>;
};

}  // namespace detail

namespace exec {

/// The operation of a layer that has none. Before a chain runs it, CheckedChain reports it; where it runs nevertheless,
/// the compiler prints the same sentence.
template <class L, class BackendName>
struct MissingOperation : OperationSizes {
    using MissingFrom = BackendName;
    template <class... Arguments>
    static void forward(const Arguments&...) {
        static_cast<void>(sizeof(bantam::detail::Refusal<bantam::detail::LayerWithoutOperation<L, BackendName>>));
    }
    template <class... Arguments>
    static void backward(const Arguments&...) {}
};

}  // namespace exec
}  // namespace bantam
