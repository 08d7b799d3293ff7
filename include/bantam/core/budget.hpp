// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/core/network.hpp>
#include <bantam/core/summary.hpp>

#include <type_traits>

namespace bantam {

/// The most parameters a student may have, statistics included.
inline constexpr Index default_parameter_limit = 100'000;

/// Never defined: its appearance in a compiler's output is the error message. The numbers are the network's parameters
/// (trainable or not), the limit, and the difference.
template <Index Parameters, Index Limit, Index Excess>
struct network_exceeds_parameter_budget;

namespace detail {

template <class Net, Index Limit>
constexpr auto budget_message() {
    // Marks the layers that hold at least a tenth of the parameters.
    Text<(layer_table<Net>.size() + 8) * (summary_width + 8)> text;
    text.append("the network has ").append_number(parameter_count<Net>);
    text.append(" parameters, ").append_number(parameter_count<Net> - Limit);
    text.append(" over the limit of ").append_number(Limit);
    text.append("; the heaviest layers are marked <<<\n");
    append_layers<Net>(text, parameter_count<Net> / 10);
    return text;
}

// g++ prints the operands of a plain static_assert; all compilers print the name of an undefined template; from C++26
// on the message may be computed. There are two classes, because clang stops reading a class at its first failed
// assertion.

template <class Net, Index Limit>
struct BudgetSentence {
#if defined(__cpp_static_assert) && __cpp_static_assert >= 202306L
    static_assert(parameter_count<Net> <= Limit, (budget_message<Net, Limit>()));
#else
    static_assert(parameter_count<Net> <= Limit, "the network has more parameters than its limit");
#endif
};

template <Index Parameters, Index Limit>
struct BudgetNumbers {
    static_assert(sizeof(network_exceeds_parameter_budget<Parameters, Limit, Parameters - Limit>) > 0);
};
template <Index Parameters, Index Limit>
    requires(Parameters <= Limit)
struct BudgetNumbers<Parameters, Limit> {};

/// Compiles where `Net` keeps to `Limit`. Limits of another type than a number of parameters specialize it, such as
/// the memory of a device in bantam/deploy/budget.hpp.
template <class Net, auto Limit>
struct WithinLimit;

template <class Net, auto Limit>
    requires std::is_integral_v<decltype(Limit)>
struct WithinLimit<Net, Limit> : private BudgetSentence<Net, Index{Limit}>,
                                 private BudgetNumbers<parameter_count<Net>, Index{Limit}> {
    static constexpr Index parameter_limit = Limit;
};

}  // namespace detail

/// A network with a parameter budget: it does not compile with more than `Limit` parameters, batch-norm statistics
/// included. An Ensemble counts as the sum of its members. With bantam/deploy/budget.hpp, `Limit` may also be a Budget
/// that names the memory of a device.
template <class Net, auto Limit = default_parameter_limit>
struct Student : Net, detail::WithinLimit<Net, Limit> {};

}  // namespace bantam
