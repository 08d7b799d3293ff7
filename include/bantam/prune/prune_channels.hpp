// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/division.hpp>
#include <bantam/base/error.hpp>
#include <bantam/base/index.hpp>
#include <bantam/prune/prunable_network.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <span>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace bantam {

/// How far channels are removed.
struct PruningLimits {
    Index parameters = 100'000;  ///< the most that stay, statistics included
    Index multiple = 4;          ///< widths are multiples of it; kernels are fastest at multiples of a vector's width
    double least_share = 0.125;  ///< of each group's channels, which stay at least
};

/// The channels of each group that stay, in order.
using KeptChannels = std::vector<std::vector<Index>>;

/// The parameters of a network whose groups have these widths, statistics included.
inline Index parameter_count_of(const PrunableNetwork& network, std::span<const Index> widths) {
    Index count = 0;
    for (std::size_t i = 0; i < network.tensors.size(); ++i) {
        const Tensor& tensor = network.tensors[i].tensor;
        Index elements = 1;
        for (std::size_t axis = 0; axis < static_cast<std::size_t>(tensor.rank); ++axis) {
            const int group = network.axes[i][axis];
            elements *= group < 0 ? tensor.extents[axis] : widths[static_cast<std::size_t>(group)];
        }
        count += elements;
    }
    return count;
}

namespace detail {

/// |scale| of each channel of a group, averaged over its batch norms, relative to the group's mean: the layers' scales
/// differ by more than the channels' of one layer, and the first layers would lose all but a few channels.
inline std::vector<double> channel_scores(const PrunableNetwork& network, const ChannelGroup& group,
                                          std::span<const float> parameters) {
    std::vector<double> scores(static_cast<std::size_t>(group.channels));
    for (const int norm : group.norms) {
        const auto offset = static_cast<std::size_t>(network.tensors[static_cast<std::size_t>(norm)].offset);
        for (std::size_t c = 0; c < scores.size(); ++c) scores[c] += std::abs(double{parameters[offset + c]});
    }
    const double sum = std::accumulate(scores.begin(), scores.end(), 0.0);
    for (double& score : scores) score *= sum > 0 ? static_cast<double>(group.channels) / sum : 0;
    return scores;
}

inline std::vector<Index> all_channels(Index count) {
    std::vector<Index> channels(static_cast<std::size_t>(count));
    std::iota(channels.begin(), channels.end(), Index{0});
    return channels;
}

inline bool prunable(const ChannelGroup& group) { return !group.fixed && !group.norms.empty(); }

}  // namespace detail

/// Removes the channels with the smallest batch-norm scales, over all groups, until the limits hold (after network
/// slimming, Liu et al., 2017). `parameters` are those of the whole network in its flat order. Throws Error where the
/// limits cannot be met or need no channel to be removed.
inline KeptChannels choose_channels(const PrunableNetwork& network, std::span<const float> parameters,
                                    const PruningLimits& limits = {}) {
    struct Channel {
        double score;
        std::size_t group;
        Index channel;
    };
    std::vector<Channel> order;
    std::vector<Index> widths;
    for (std::size_t g = 0; g < network.groups.size(); ++g) {
        const ChannelGroup& group = network.groups[g];
        widths.push_back(group.channels);
        if (!detail::prunable(group)) continue;
        const std::vector<double> scores = detail::channel_scores(network, group, parameters);
        for (Index c = 0; c < group.channels; ++c) order.push_back({scores[static_cast<std::size_t>(c)], g, c});
    }
    if (const Index count = parameter_count_of(network, widths); count <= limits.parameters)
        throw Error{"the network has " + std::to_string(count) + " parameters, which is within the limit of " +
                    std::to_string(limits.parameters) + "; nothing needs to be removed"};
    std::ranges::sort(order, [](const Channel& left, const Channel& right) {
        return std::tie(left.score, left.group, left.channel) < std::tie(right.score, right.group, right.channel);
    });

    std::vector<Index> left = widths;
    for (const Channel& channel : order) {
        const Index all = network.groups[channel.group].channels;
        const auto least = static_cast<Index>(std::ceil(static_cast<double>(all) * limits.least_share));
        Index& rest = left[channel.group];
        if (rest - 1 < std::max(least, Index{1})) continue;
        --rest;
        widths[channel.group] = std::min(all, ceil_div(rest, limits.multiple) * limits.multiple);
        if (parameter_count_of(network, widths) <= limits.parameters) break;
    }
    if (const Index count = parameter_count_of(network, widths); count > limits.parameters)
        throw Error{"the network keeps " + std::to_string(count) +
                    " parameters where as many channels are removed as is allowed, over the limit of " +
                    std::to_string(limits.parameters) + "; begin with a narrower network"};

    KeptChannels kept(network.groups.size());
    for (std::size_t g = 0; g < kept.size(); ++g)
        if (!detail::prunable(network.groups[g])) kept[g] = detail::all_channels(widths[g]);
    // The largest scales of each group.
    for (auto best = order.rbegin(); best != order.rend(); ++best)
        if (std::ssize(kept[best->group]) < widths[best->group]) kept[best->group].push_back(best->channel);
    for (auto& channels : kept) std::ranges::sort(channels);
    return kept;
}

/// A tensor of the pruned network.
struct PrunedTensor {
    std::string name;
    std::vector<Index> extents;
    std::vector<float> values;
};

/// The tensors with the kept channels alone, from the flat parameters and statistics of the whole network.
inline std::vector<PrunedTensor> prune_channels(const PrunableNetwork& network, const KeptChannels& kept,
                                                std::span<const float> parameters, std::span<const float> statistics) {
    std::vector<PrunedTensor> result;
    for (std::size_t i = 0; i < network.tensors.size(); ++i) {
        const NamedTensor& entry = network.tensors[i];
        const auto rank = static_cast<std::size_t>(entry.tensor.rank);
        const auto all = (entry.tensor.trainable ? parameters : statistics)
                             .subspan(static_cast<std::size_t>(entry.offset),
                                      static_cast<std::size_t>(entry.tensor.element_count()));
        // Positions along the axes so far, row-major.
        std::vector<Index> positions{0};
        PrunedTensor tensor{std::string{entry.name.view()}, {}, {}};
        for (std::size_t axis = 0; axis < rank; ++axis) {
            const Index extent = entry.tensor.extents[axis];
            const int group = network.axes[i][axis];
            const std::vector<Index> along =
                group < 0 ? detail::all_channels(extent) : kept[static_cast<std::size_t>(group)];
            std::vector<Index> next;
            for (const Index position : positions)
                for (const Index index : along) next.push_back(position * extent + index);
            positions = std::move(next);
            tensor.extents.push_back(std::ssize(along));
        }
        for (const Index position : positions) tensor.values.push_back(all[static_cast<std::size_t>(position)]);
        result.push_back(std::move(tensor));
    }
    return result;
}

/// The pruned network's layers as types, one string per layer. `classes` is written for the number of classes.
inline std::vector<std::string> pruned_layers(const PrunableNetwork& network, const KeptChannels& kept,
                                              const std::string& classes) {
    std::vector<std::string> layers;
    for (const auto& tokens : network.layers) {
        std::string& text = layers.emplace_back();
        for (const TypeToken& token : tokens) {
            if (token.group < 0)
                text += token.text;
            else if (token.group == network.classes)
                text += classes;
            else
                text += std::to_string(kept[static_cast<std::size_t>(token.group)].size());
        }
    }
    return layers;
}

}  // namespace bantam
