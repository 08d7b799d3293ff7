// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/core/shape.hpp>
#include <bantam/core/tensor.hpp>

#include <type_traits>

namespace bantam {

/// Why a layer cannot take the shape it is given.
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
};

/// A layer's answer to an input shape. `given` and `needed` are the two shapes that disagree: for a
/// layer after another, what arrives and the nearest that would fit; for two paths that join, what
/// the one and the other give.
struct Misfit {
    Reason reason = Reason::none;
    Shape given{};
    Shape needed{};
    /// Where two paths of a composite disagree: which of its children give the two shapes.
    int path = -1;
    int other_path = -1;

    constexpr explicit operator bool() const { return reason != Reason::none; }
};

/// What a layer is, with the answers of one that keeps the shape and has no tensors. A layer derives
/// from this and hides what differs; it also states `static constexpr std::string_view name`. A
/// layer holds no arithmetic: `bantam::cpu::Operation<Layer, Input, Scalar>` says how it runs.
struct Layer {
    static constexpr Shape output_shape(Shape input) { return input; }
    static constexpr TensorList tensors(Shape) { return {}; }
    /// Multiply-accumulates of one sample's forward pass.
    static constexpr Index multiply_adds(Shape) { return 0; }
    static constexpr Misfit misfit(Shape) { return {}; }
};

/// A layer made of others, each a path of its own from the layer's input. It states its `Children`
/// as a `ChildList`, `child_input(input, index)` and `child_name(index)`.
template <class... Paths>
struct ChildList {
    static constexpr int count = static_cast<int>(sizeof...(Paths));
};

template <class L>
concept CompositeLayer = requires { typename L::Children; };

/// A layer that stands for a sequence of others, whatever its input (`using Layers = Sequence<…>`).
template <class L>
concept SequenceLayer = requires { typename L::Layers; };

/// A layer that stands for others chosen by its input shape (`template <Shape> using Expansion`).
template <class L>
concept BlockLayer = requires { typename L::template Expansion<Shape{1, 1, 1}>; };

}  // namespace bantam
