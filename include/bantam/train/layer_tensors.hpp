// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/core/network.hpp>

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

namespace bantam {

/// The scalars of a layer's tensors.
struct LayerTensors {
    Index trained = 0;
    Index statistics = 0;
};

/// Those of each layer of a network with the tensors `tensor_table<Net>`.
constexpr std::vector<LayerTensors> layer_tensors(std::span<const NamedTensor> tensors) {
    const auto layer_of = [](const NamedTensor& tensor) {
        const std::string_view name = tensor.name.view();
        return name.substr(0, name.rfind('.'));
    };
    std::vector<LayerTensors> layers;
    for (std::size_t i = 0; i < tensors.size(); ++i) {
        if (i == 0 || layer_of(tensors[i]) != layer_of(tensors[i - 1])) layers.emplace_back();
        (tensors[i].tensor.trainable ? layers.back().trained : layers.back().statistics) +=
            tensors[i].tensor.element_count();
    }
    return layers;
}

}  // namespace bantam
