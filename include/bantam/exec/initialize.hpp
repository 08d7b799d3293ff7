// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/error.hpp>
#include <bantam/base/random.hpp>
#include <bantam/core/network.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace bantam {

namespace detail {

/// Throws Error unless buffers have as many elements as `Net` has parameters and statistics.
template <class Net>
void require_weights(std::size_t parameters, std::size_t statistics) {
    const auto require = [](const char* what, std::size_t found, Index expected) {
        if (found != static_cast<std::size_t>(expected))
            throw_error(std::to_string(found) + " " + what + " were given, the network has " +
                        std::to_string(expected) + "; give those of the same network");
    };
    require("trainable parameters", parameters, trainable_parameters<Net>);
    require("statistics", statistics, non_trainable_parameters<Net>);
}

[[noreturn]] inline void throw_no_weights() {
    throw_error("the model has no weights yet; call initialize or set_weights, or load them from a file");
}

}  // namespace detail

/// Other starts than the random values of the tensors' initializers.
struct InitializeOptions {
    /// Adds 1 to the center of every depthwise kernel, so that each begins near the identity.
    bool near_identity_depthwise = false;
    /// Sets the scale of a norm to 0 where it ends the body of a residual, which then begins as its shortcut (Goyal et
    /// al., "Accurate, large minibatch SGD", 2017). A norm before an activation keeps its scale: ReLU passes no
    /// gradient back at 0.
    bool zero_residual_norms = false;
};

namespace detail {

/// The last layer of the body of the residual `layers[residual]`, null where it has none. In the table the layers of a
/// composite come before it, here those of the body and then those of the shortcut.
inline const LayerEntry* last_of_body(std::span<const LayerEntry> layers, std::size_t residual) {
    const std::string path{layers[residual].path.view()};
    const std::string inside = path.empty() ? path : path + '.', shortcut = inside + "shortcut";
    for (std::size_t i = residual; i-- > 0;) {
        const std::string_view found = layers[i].path.view();
        if (!found.starts_with(inside)) return nullptr;
        if (found != shortcut && !found.starts_with(shortcut + '.')) return &layers[i];
    }
    return nullptr;
}

template <class Scalar>
void apply(const InitializeOptions& options, std::span<const LayerEntry> layers, std::span<const NamedTensor> tensors,
           std::span<Scalar> parameters) {
    const auto weight_of = [&](const LayerEntry& layer) -> const NamedTensor& {
        const Path name = joined(layer.path, std::string_view{"weight"});
        return *std::ranges::find_if(tensors,
                                     [&](const NamedTensor& entry) { return entry.name.view() == name.view(); });
    };
    for (std::size_t i = 0; i < layers.size(); ++i) {
        if (options.near_identity_depthwise && layers[i].name == "DepthwiseConv2d") {
            const NamedTensor& weight = weight_of(layers[i]);
            const auto& [channels, one, height, width] = weight.tensor.extents;
            for (Index channel = 0; channel < channels; ++channel)
                parameters[static_cast<std::size_t>(weight.offset + (channel * height + height / 2) * width +
                                                    width / 2)] += Scalar{1};
        }
        if (options.zero_residual_norms && layers[i].name == "Residual") {
            const LayerEntry* const last = last_of_body(layers, i);
            if (last == nullptr || (last->name != "BatchNorm2d" && last->name != "LayerNorm")) continue;
            const NamedTensor& weight = weight_of(*last);
            std::ranges::fill(parameters.subspan(static_cast<std::size_t>(weight.offset),
                                                 static_cast<std::size_t>(weight.tensor.element_count())),
                              Scalar{0});
        }
    }
}

}  // namespace detail

/// Fills the flat buffers of `Net` with initial values. Every tensor has its own random stream, so that a change of one
/// layer's sizes does not change the values of the others.
template <class Net, class Scalar>
void initialize_tensors(std::uint64_t seed, std::span<Scalar> parameters, std::span<Scalar> statistics,
                        const InitializeOptions& options = {}) {
    std::uint64_t stream = 0;
    for (const NamedTensor& entry : tensor_table<Net>) {
        Random random{seed, stream++};
        const std::span<Scalar> values = (entry.tensor.trainable ? parameters : statistics)
                                             .subspan(static_cast<std::size_t>(entry.offset),
                                                      static_cast<std::size_t>(entry.tensor.element_count()));
        const Initializer initializer = entry.tensor.initializer;
        for (Scalar& value : values) {
            switch (initializer.kind) {
                case Initializer::Kind::constant:
                    value = static_cast<Scalar>(initializer.amount);
                    break;
                case Initializer::Kind::normal:
                    value = static_cast<Scalar>(initializer.amount * random.normal());
                    break;
                case Initializer::Kind::uniform:
                    value = static_cast<Scalar>(random.uniform(-initializer.amount, initializer.amount));
                    break;
            }
        }
    }
    detail::apply(options, std::span<const LayerEntry>{layer_table<Net>},
                  std::span<const NamedTensor>{tensor_table<Net>}, parameters);
}

}  // namespace bantam
