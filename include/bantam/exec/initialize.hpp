// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/error.hpp>
#include <bantam/base/random.hpp>
#include <bantam/core/network.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

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

/// Fills the flat buffers of `Net` with initial values. Every tensor has its own random stream, so that a change of one
/// layer's sizes does not change the values of the others.
template <class Net, class Scalar>
void initialize_tensors(std::uint64_t seed, std::span<Scalar> parameters, std::span<Scalar> statistics) {
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
}

}  // namespace bantam
