// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/core/diagnostics.hpp>
#include <bantam/core/network.hpp>
#include <bantam/layers/branches.hpp>

#include <cstddef>
#include <type_traits>

namespace bantam {

namespace detail {

/// Why the tensors of `Net` do not fit into those of `Wide`.
template <class Net, class Wide>
struct NotInside {
    static constexpr Sentence sentence = [] {
        Sentence text;
        const auto &inner = tensor_table<Net>, &outer = tensor_table<Wide>;
        if (inner.size() != outer.size())
            return text.append("NetAug: the wide network has ")
                .append_number(static_cast<Index>(outer.size()))
                .append(" tensors and the student ")
                .append_number(static_cast<Index>(inner.size()))
                .append(": write the same layers with more channels");
        if (layer_table<Net>.size() != layer_table<Wide>.size())
            return text.append(
                "NetAug: the wide network has other layers than the student: write the same ones with more "
                "channels");
        for (std::size_t i = 0; i < inner.size(); ++i) {
            bool inside = inner[i].name.view() == outer[i].name.view() && inner[i].tensor.rank == outer[i].tensor.rank;
            for (std::size_t axis = 0; axis < 4; ++axis)
                inside = inside && inner[i].tensor.extents[axis] <= outer[i].tensor.extents[axis];
            if (!inside)
                return text.append("NetAug: tensor ")
                    .append(inner[i].name.view())
                    .append(" of the student does not fit into tensor ")
                    .append(outer[i].name.view())
                    .append(" of the wide network: write the same layers with at least as many channels");
        }
        for (std::size_t i = 0; i < layer_table<Net>.size(); ++i) {
            const LayerEntry& layer = layer_table<Net>[i];
            const bool by_position = (layer.name == "Flatten" && pixel_count(layer.input) > 1) ||
                                     layer.name == "SpaceToDepth" || layer.name == "ChannelShuffle";
            if (by_position && layer.input.channels != layer_table<Wide>[i].input.channels)
                return text.append("NetAug: ")
                    .append(layer.name)
                    .append(
                        " moves channels to places that depend on their number: the channels of the student would "
                        "not be the first ones of the wide network");
        }
        if (input_shape<Net> != input_shape<Wide> || output_shape<Net> != output_shape<Wide>)
            text.append("NetAug: the wide network takes other pictures or has other classes than the student");
        return text;
    }();
    using Facts = compile_error<tensor_table<Net>.size(), tensor_table<Wide>.size()>;
};

}  // namespace detail

/// Training-only width: `Wide`, which has the layers of `Net` with more channels, is trained with `Net` inside it. The
/// parameters of `Net` are the first ones along each axis of those of `Wide`; both read every picture, each has the
/// trainer's loss, and the sum of the losses is minimized. Statistics of norms are each network's own. `Net` alone is
/// kept: a trainer infers with it and gives its weights, and a Student counts it. The channels of a map of `Net` are to
/// be the first ones of that of `Wide`, which they are not behind concatenations and in groups. After NetAug (Cai et
/// al., "Network Augmentation for Tiny Deep Learning", 2022), which draws another wide network for every step.
template <class Net, class Wide>
struct NetAug {
    using Kept = Net;
    using Around = Wide;
    static constexpr Index heads = 2;
    static_assert(training_heads<Net> == 1 && training_heads<Wide> == 1,
                  "the networks of a NetAug are no NetAug or MemberWise themselves");
    static constexpr bool refused = std::is_same_v<typename Net::Layers, detail::RefusedLayers> ||
                                    std::is_same_v<typename Wide::Layers, detail::RefusedLayers> ||
                                    detail::NotInside<Net, Wide>::sentence.view().size() > 0;
    static_assert(sizeof(detail::Refusal<detail::NotInside<Net, Wide>>) > 0);
    using Both = Branches<Fork::copy, Join::concatenate, typename Net::Layers, typename Wide::Layers>;
    using Layers = std::conditional_t<refused, detail::RefusedLayers, Sequence<Both>>;
    static constexpr Shape input = Net::input;
    using Nodes = NodesOf<Layers, input>;
};

}  // namespace bantam
