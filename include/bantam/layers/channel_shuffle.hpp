// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/host_device.hpp>
#include <bantam/base/index.hpp>
#include <bantam/layers/rearrangement.hpp>

#include <string_view>

namespace bantam {

/// Interleaves the channels of `Groups` equal groups, so that a grouped convolution behind it reads from all groups
/// (Zhang et al., ShuffleNet, 2018): output channel j · Groups + i is channel j of group i. The shape stays.
template <int Groups>
struct ChannelShuffle : Rearrangement {
    static constexpr std::string_view name = "ChannelShuffle";

    static constexpr std::string_view argument_error() { return Groups > 0 ? "" : "it has at least one group"; }
    static constexpr Misfit misfit(Shape input) { return groups_misfit(Groups, input); }
    /// The input channel that output channel `c` of `channels` is a copy of.
    BANTAM_HOST_DEVICE static constexpr Index source_channel(Index c, Index channels) {
        return c % Groups * (channels / Groups) + c / Groups;
    }
    template <Shape Input>
    BANTAM_HOST_DEVICE static constexpr MapPosition source(MapPosition to) {
        return {to.row, to.column, source_channel(to.channel, Input.channels)};
    }
};

}  // namespace bantam
