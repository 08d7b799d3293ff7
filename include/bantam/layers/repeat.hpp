// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/core/network.hpp>
#include <bantam/core/sequence.hpp>

#include <string_view>

namespace bantam {

/// The same layers `Count` times in a row, with one set of tensors, which count once against a budget (as ALBERT shares
/// them, Lan et al., 2020). The layers keep the shape. Running statistics are moved by each run. In PyTorch, a module
/// that is called `Count` times; torchsummary counts its parameters each time.
template <int Count, class... Ls>
struct Repeat : Layer {
    static constexpr std::string_view name = "Repeat";
    static constexpr int count = Count;
    using Body = Sequence<Ls...>;
    using Children = ChildList<Body>;

    static constexpr std::string_view argument_error() {
        return Count > 0 && sizeof...(Ls) > 0 ? "" : "it runs at least one layer at least once";
    }
    static constexpr Shape child_input(Shape input, int) { return input; }
    /// The layers are numbered directly under it.
    static constexpr Text<16> child_name(int) { return {}; }
    static constexpr Misfit misfit(Shape input) {
        if (Body::output_shape(input) == input) return {};
        return does_not_fit("the layers of a Repeat keep the shape of their input", Body::output_shape(input), input);
    }
    // Those of all runs but the first, which the layers themselves count.
    template <Shape Input>
    static constexpr Index repeated_multiply_adds = (Count - 1) * bantam::multiply_adds<Part<Body, Input>>;
    template <Shape Input>
    static constexpr Index repeated_parameters = (Count - 1) * parameter_count_per_run<Part<Body, Input>>;
};

}  // namespace bantam
