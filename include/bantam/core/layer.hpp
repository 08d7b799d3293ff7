// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/core/shape.hpp>
#include <bantam/core/tensor.hpp>

#include <string_view>

namespace bantam {

/// Why a layer does not fit its input shape.
enum class Reason {
    none,
    kernel_larger_than_image,
    groups_do_not_divide_channels,
    groups_do_not_divide_output,
    map_was_not_pooled,
    residual_paths_differ,
    branches_differ,
    split_does_not_divide_channels,
    channels_must_be_even,
    gate_must_be_one_pixel_of_all_channels,
    ensemble_members_differ,
    stated_by_layer,    ///< `Misfit::text` says it
    invalid_arguments,  ///< the layer's `argument_error` says it
    not_a_layer,
    no_layers,
    no_image,
};

/// Whether a layer fits an input shape. `given` and `needed` are the two shapes that disagree: for a layer after
/// another, its input and the nearest shape that would fit; for two paths that join, their two outputs.
struct Misfit {
    Reason reason = Reason::none;
    Shape given{};
    Shape needed{};
    /// Where two paths of a composite disagree: the indices of the two children.
    int path = -1;
    int other_path = -1;
    std::string_view text{};  ///< the sentence of a layer that states its own, for `Reason::stated_by_layer`

    constexpr explicit operator bool() const { return reason != Reason::none; }
};

/// The misfit of a layer of your own: `why` says in one sentence what is wrong and what to write instead; `needed` is
/// the nearest input that would fit. The compiler prints all three where a network does not compile because of it.
constexpr Misfit does_not_fit(std::string_view why, Shape given, Shape needed) {
    return {Reason::stated_by_layer, given, needed, -1, -1, why};
}

/// That of a layer whose `groups` do not divide the channels.
constexpr Misfit groups_misfit(Index groups, Shape input) {
    if (input.channels % groups == 0) return {};
    return {Reason::groups_do_not_divide_channels,
            input,
            {input.height, input.width, (input.channels / groups + 1) * groups}};
}

/// The description of a layer, with defaults for one that keeps the shape and has no tensors. A layer derives from
/// this, redefines what differs and adds `static constexpr std::string_view name`. A description holds no arithmetic:
/// `bantam::cpu::Operation<Layer, Input, Scalar>` runs the layer on the CPU.
struct Layer {
    static constexpr Shape output_shape(Shape input) { return input; }
    static constexpr TensorList tensors(Shape) { return {}; }
    /// Multiply-accumulates of one sample's forward pass.
    static constexpr Index multiply_adds(Shape) { return 0; }
    static constexpr Misfit misfit(Shape) { return {}; }
    /// What is wrong with the layer's template arguments, whatever its input, and what to write instead; empty where
    /// nothing is. It is read before all other members.
    static constexpr std::string_view argument_error() { return {}; }
};

/// The paths of a composite layer, each a layer or a sequence. A composite defines `Children` as a `ChildList`,
/// `child_input(input, index)` and `child_name(index)`.
template <class... Paths>
struct ChildList {
    static constexpr int count = static_cast<int>(sizeof...(Paths));
};

template <class L>
concept CompositeLayer = requires { typename L::Children; };

/// A layer that stands for a fixed sequence of others (`using Layers = Sequence<…>`).
template <class L>
concept SequenceLayer = requires { typename L::Layers; };

/// A layer that stands for others that depend on its input shape (`template <Shape> using Expansion`).
template <class L>
concept BlockLayer = requires { typename L::template Expansion<Shape{1, 1, 1}>; };

}  // namespace bantam
