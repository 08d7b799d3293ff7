// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/core/sequence.hpp>

#include <array>
#include <cstddef>
#include <string_view>

namespace bantam {

/// The input of each branch: the whole input, or an equal share of the channels.
enum class Fork { copy, split };

/// How the branches' outputs are joined: concatenated along the channels, added, or averaged.
enum class Join { concatenate, add, mean };

/// Several paths from one input whose outputs are joined. A path is a layer or a Sequence.
template <Fork Forking, Join Joining, class... Paths>
struct Branches : Layer {
    static constexpr std::string_view name = Joining == Join::mean ? "Ensemble" : "Branches";
    static constexpr Fork fork = Forking;
    static constexpr Join join = Joining;
    static constexpr int count = static_cast<int>(sizeof...(Paths));
    using Children = ChildList<Paths...>;

    static constexpr std::string_view argument_error() { return count > 0 ? "" : "it has at least one path"; }
    static constexpr Shape child_input(Shape input, int) {
        return fork == Fork::copy ? input : Shape{input.height, input.width, input.channels / count};
    }
    static constexpr Text<16> child_name(int index) {
        Text<16> text;
        text.append_number(index);
        return text;
    }
    static constexpr std::array<Shape, sizeof...(Paths)> branch_shapes(Shape input) {
        return {Paths::output_shape(child_input(input, 0))...};
    }
    static constexpr Shape output_shape(Shape input) {
        Shape output = branch_shapes(input)[0];
        if (join == Join::concatenate) {
            output.channels = 0;
            for (Shape shape : branch_shapes(input)) output.channels += shape.channels;
        }
        return output;
    }
    static constexpr Misfit misfit(Shape input) {
        if (fork == Fork::split && input.channels % count != 0)
            return {Reason::split_does_not_divide_channels,
                    input,
                    {input.height, input.width, (input.channels / count + 1) * count}};
        const auto shapes = branch_shapes(input);
        for (int path = 1; path < count; ++path) {
            const Shape shape = shapes[static_cast<std::size_t>(path)];
            const bool same_map = shape.height == shapes[0].height && shape.width == shapes[0].width;
            if (!same_map || (join != Join::concatenate && shape != shapes[0]))
                return {join == Join::mean ? Reason::ensemble_members_differ : Reason::branches_differ, shape,
                        shapes[0], path, 0};
        }
        return {};
    }
};

/// Each path reads the whole input; outputs are concatenated.
template <class... Paths>
using Concatenate = Branches<Fork::copy, Join::concatenate, Paths...>;

/// Each path reads the whole input; outputs are added.
template <class... Paths>
using Add = Branches<Fork::copy, Join::add, Paths...>;

/// Each path reads an equal share of the channels; outputs are concatenated.
template <class... Paths>
using SplitConcatenate = Branches<Fork::split, Join::concatenate, Paths...>;

}  // namespace bantam
