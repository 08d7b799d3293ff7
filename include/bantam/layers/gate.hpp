// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/layers/activations.hpp>

namespace bantam {

/// act(first half of the channels) · second half (a gated linear unit, Dauphin et al., 2017). Input H×W×2C, output
/// H×W×C.
template <ActivationLayer Act>
struct Gate : Layer {
    static constexpr std::string_view name = "Gate";

    static constexpr Shape output_shape(Shape input) { return {input.height, input.width, input.channels / 2}; }
    static constexpr Misfit misfit(Shape input) {
        if (input.channels % 2 == 0) return {};
        return {Reason::channels_must_be_even, input, {input.height, input.width, input.channels + 1}};
    }
    static constexpr Index multiply_adds(Shape input) { return element_count(output_shape(input)); }
};

/// The gate with x · tanh(eˣ).
using TanhExpGate = Gate<TanhExp>;

}  // namespace bantam
