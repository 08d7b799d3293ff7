// SPDX-License-Identifier: MIT
#pragma once

// What the compiler prints where a layer has no operation on a backend, by the technique of core/diagnostics.hpp.

#include <bantam/core/diagnostics.hpp>
#include <bantam/core/text.hpp>
#include <bantam/exec/operation.hpp>

namespace bantam {

/// Never defined: its appearance in a compiler's output is the error message.
template <class L, class Backend>
struct layer_has_no_operation;

namespace detail {

/// The sentence for compilers that print a computed static_assert message (C++26).
template <class L, class BackendName>
constexpr auto missing_operation_sentence() {
    Text<320> text;
    text.append("layer ").append(layer_name<L>()).append(" has no operation on backend ").append(BackendName::name);
    text.append("; include its header under bantam/").append(BackendName::name);
    return text.append("/layers or write one, see docs/adding-a-layer.md");
}

template <class L, class BackendName>
struct MissingOperationSentence {
#if defined(__cpp_static_assert) && __cpp_static_assert >= 202306L
    static_assert(sizeof(L*) == 0, (missing_operation_sentence<L, BackendName>()));
#else
    static_assert(
        sizeof(L*) == 0,
        "a layer has no operation on a backend: see layer_has_no_operation<layer, backend> below; include its "
        "header under bantam/<backend>/layers or write one, see docs/adding-a-layer.md");
#endif
};

template <class L, class BackendName>
struct MissingOperationFacts {
    static_assert(sizeof(layer_has_no_operation<L, BackendName>) > 0);
};

}  // namespace detail

namespace exec {

/// The operation of a layer that has none. Where it runs, one sentence names the layer and the backend, and no further
/// errors follow.
template <class L, class BackendName>
struct MissingOperation : OperationSizes {
    template <class... Arguments>
    static void forward(const Arguments&...) {
        static_cast<void>(sizeof(bantam::detail::MissingOperationSentence<L, BackendName>));
        static_cast<void>(sizeof(bantam::detail::MissingOperationFacts<L, BackendName>));
    }
    template <class... Arguments>
    static void backward(const Arguments&...) {}
};

}  // namespace exec
}  // namespace bantam
