// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/core/diagnostics.hpp>
#include <bantam/core/network.hpp>

#include <type_traits>

namespace bantam {

/// The most parameters a student may have, statistics included.
inline constexpr Index default_parameter_limit = 100'000;

namespace detail {

/// The layers that hold at least a tenth of the parameters, numbered as in the summary.
template <class Net>
constexpr void append_heaviest_layers(Sentence& text) {
    bool first = true;
    Index position = 0;
    for (const LayerEntry& layer : layer_table<KeptNetwork<Net>>) {
        ++position;
        const Index parameters = layer.trainable + layer.non_trainable;
        if (parameters * 10 < parameter_count<KeptNetwork<Net>>) continue;
        text.append(first ? "; the heaviest layers: " : ", ");
        text.append(layer.name).append('-').append_number(position);
        text.append(" (").append_number(parameters, true).append(')');
        first = false;
    }
}

template <class Net, Index Limit>
struct ParametersOverLimit {
    static constexpr Sentence sentence = [] {
        Sentence text;
        constexpr Index count = deployed_parameter_count<Net>;
        if (count <= Limit) return text;
        text.append("the network has ").append_number(count, true);
        text.append(" parameters, ").append_number(count - Limit, true);
        text.append(" over the limit of ").append_number(Limit, true);
        append_heaviest_layers<Net>(text);
        return text;
    }();
    using Facts = compile_error<deployed_parameter_count<Net>, Limit>;
};

/// Compiles where `Net` keeps to `Limit`. Limits of another type than a number of parameters specialize it, such as
/// the memory of a device in bantam/deploy/budget.hpp.
template <class Net, auto Limit>
struct WithinLimit;

template <class Net, auto Limit>
    requires std::is_integral_v<decltype(Limit)>
struct WithinLimit<Net, Limit> : private Refusal<ParametersOverLimit<Net, Index{Limit}>> {
    static constexpr Index parameter_limit = Limit;
};

}  // namespace detail

/// A network with a parameter budget: it does not compile with more than `Limit` parameters, batch-norm statistics
/// included. An Ensemble counts as the sum of its members; a FoldableAdd counts as the convolution that it is folded
/// into, a NetAug as its student. With bantam/deploy/budget.hpp, `Limit` may also be a Budget that names the memory of
/// a device.
template <class Net, auto Limit = default_parameter_limit>
struct Student : detail::CheckedNetwork<Net>, detail::WithinLimit<detail::CheckedNetwork<Net>, Limit> {};

namespace detail {

// As of Network: what is wrong is reported where the student is used.
template <class Net, auto Limit>
inline constexpr bool is_network<Student<Net, Limit>> = true;

}  // namespace detail

}  // namespace bantam
