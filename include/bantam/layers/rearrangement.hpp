// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/core/layer.hpp>

#include <type_traits>

namespace bantam {

/// A scalar of a map.
struct MapPosition {
    Index row, column, channel;
};

/// A layer that moves scalars and computes none: each input scalar is in one place of the output.
/// `source<Input>(position)` is the place in the input of what is at `position` of the output.
struct Rearrangement : Layer {};

template <class L>
concept RearrangingLayer = std::is_base_of_v<Rearrangement, L>;

}  // namespace bantam
