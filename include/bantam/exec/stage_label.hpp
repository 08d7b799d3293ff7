// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/core/shape.hpp>

#include <string_view>

namespace bantam::exec {

/// A stage in one direction, with its least cost per sample.
struct StageLabel {
    std::string_view name;
    Shape input;
    Shape output;
    bool backward = false;
    Index multiply_adds = 0;
    Index scalars_moved = 0;  ///< read from or written to memory where no cache holds them
};

/// The label of layer `L`. Both directions read and write the maps; backward computes two products for each product of
/// forward and moves twice the scalars.
template <class L>
constexpr StageLabel stage_label(std::string_view name, Shape input, bool backward) {
    const Shape output = L::output_shape(input);
    const Index factor = backward ? 2 : 1;
    return {name,
            input,
            output,
            backward,
            factor * L::multiply_adds(input),
            factor * (element_count(input) + element_count(output))};
}

}  // namespace bantam::exec
