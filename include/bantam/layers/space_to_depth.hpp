// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/host_device.hpp>
#include <bantam/base/index.hpp>
#include <bantam/layers/rearrangement.hpp>

#include <string_view>

namespace bantam {

/// Moves each `Block` × `Block` pixels into the channels of one: H×W×C becomes H/Block × W/Block × Block²·C, in the
/// order of PyTorch's `PixelUnshuffle`: channel (c · Block + row) · Block + column.
template <int Block>
struct SpaceToDepth : Rearrangement {
    static constexpr std::string_view name = "SpaceToDepth";
    static constexpr int block = Block;

    static constexpr std::string_view argument_error() { return Block > 0 ? "" : "its block has at least one pixel"; }
    static constexpr Shape output_shape(Shape input) {
        return {input.height / Block, input.width / Block, input.channels * Block * Block};
    }
    static constexpr Misfit misfit(Shape input) {
        if (input.height % Block == 0 && input.width % Block == 0) return {};
        const auto fitting = [](Index extent) { return (extent + Block - 1) / Block * Block; };
        return does_not_fit("height and width are multiples of SpaceToDepth's block", input,
                            {fitting(input.height), fitting(input.width), input.channels});
    }
    template <Shape Input>
    BANTAM_HOST_DEVICE static constexpr MapPosition source(MapPosition to) {
        return {to.row * Block + to.channel / Block % Block, to.column * Block + to.channel % Block,
                to.channel / (Block * Block)};
    }
};

}  // namespace bantam
