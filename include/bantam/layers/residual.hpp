// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/core/sequence.hpp>

#include <string_view>
#include <type_traits>

namespace bantam {

/// Which path of a residual block is multiplied by a learned scale per channel.
enum class Scale { none, body, shortcut };

/// The sum of two paths from the same input: y = shortcut(x) + body(x) (He et al., 2015). One of them may be multiplied
/// by a learned scale [C], initially 1.
template <class Body, class Shortcut = Identity, Scale Scaled = Scale::none>
struct ResidualBlock : Layer {
    static constexpr std::string_view name = "Residual";
    static constexpr Scale scaled = Scaled;
    using Children = ChildList<Body, Shortcut>;

    static constexpr std::string_view argument_error() {
        if (std::is_same_v<Body, Sequence<>> && std::is_same_v<Shortcut, Identity>)
            return "its body has at least one layer: Residual<layers...>";
        return Scaled == Scale::none || std::is_same_v<Shortcut, Identity>
                   ? ""
                   : "a learned scale requires the identity as shortcut";
    }
    static constexpr Shape child_input(Shape input, int) { return input; }
    /// The body's layers are numbered directly under the block; the shortcut has a name.
    static constexpr Text<16> child_name(int index) {
        Text<16> text;
        if (index == 1) text.append("shortcut");
        return text;
    }
    static constexpr Shape output_shape(Shape input) { return Body::output_shape(input); }
    static constexpr Misfit misfit(Shape input) {
        if (Body::output_shape(input) == Shortcut::output_shape(input)) return {};
        return {Reason::residual_paths_differ, Body::output_shape(input), Shortcut::output_shape(input), 0, 1};
    }
    static constexpr TensorList tensors(Shape input) {
        TensorList list;
        if (Scaled != Scale::none) list.add(channel_tensor("scale", output_shape(input).channels, constant(1)));
        return list;
    }
    static constexpr Index multiply_adds(Shape input) {
        return Scaled == Scale::none ? 0 : element_count(output_shape(input));
    }
};

/// x + layers(x)
template <class... Ls>
using Residual = ResidualBlock<Sequence<Ls...>>;

/// projection(x) + layers(x), for layers that change the shape
template <class Projection, class... Ls>
using ProjectedResidual = ResidualBlock<Sequence<Ls...>, Projection>;

/// x + scale · layers(x), or scale · x + layers(x), with a learned scale per channel
template <Scale Scaled, class... Ls>
using ScaledResidual = ResidualBlock<Sequence<Ls...>, Identity, Scaled>;

}  // namespace bantam
