// SPDX-License-Identifier: MIT
// Needs nlohmann/json (Debian: nlohmann-json3-dev).
#pragma once

#include <bantam/base/error.hpp>
#include <bantam/base/index.hpp>
#include <bantam/core/network.hpp>
#include <bantam/io/safetensors.hpp>

#include <cmath>
#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace bantam {

/// The metadata `format` of weights written by Bantam; other files may lack it.
inline constexpr const char* checkpoint_format = "bantam-checkpoint/1";

namespace detail {

inline std::vector<Index> tensor_shape(const Tensor& tensor) {
    return {tensor.extents.begin(), tensor.extents.begin() + tensor.rank};
}

template <class S>
std::span<S> tensor_values(const NamedTensor& entry, std::span<S> parameters, std::span<S> statistics) {
    return (entry.tensor.trainable ? parameters : statistics)
        .subspan(static_cast<std::size_t>(entry.offset), static_cast<std::size_t>(entry.tensor.element_count()));
}

}  // namespace detail

/// Writes the tensors of a network's table under their names and in PyTorch's layout, in one step. `parameters` has the
/// elements of its trainable tensors, `statistics` those of the others.
inline void write_network(const std::filesystem::path& path, std::span<const NamedTensor> table,
                          std::span<const float> parameters, std::span<const float> statistics,
                          Metadata metadata = {}) {
    std::vector<TensorView> tensors;
    for (const NamedTensor& entry : table)
        tensors.emplace_back(std::string{entry.name.view()}, detail::tensor_shape(entry.tensor),
                             detail::tensor_values(entry, parameters, statistics));
    metadata["format"] = checkpoint_format;
    write_safetensors(path, tensors, metadata);
}

template <class Net>
void write_network(const std::filesystem::path& path, std::span<const float> parameters,
                   std::span<const float> statistics, Metadata metadata = {}) {
    write_network(path, tensor_table<Net>, parameters, statistics, std::move(metadata));
}

/// Reads the tensors of a network's table by name into the flat buffers; a checkpoint of PyTorch's fits where the
/// names do. Throws Error naming the file and the first tensor that is missing, has another shape,
/// is not part of the network, or holds a number that is not finite.
inline void read_network(SafetensorsFile& file, std::span<const NamedTensor> table, std::span<float> parameters,
                         std::span<float> statistics) {
    const std::string where = file.path().string();
    for (const NamedTensor& entry : table) {
        const std::string name{entry.name.view()};
        const std::vector<Index> expected = detail::tensor_shape(entry.tensor);
        if (!file.contains(name)) throw Error{where + ": has no tensor '" + name + "'; it is from another network"};
        if (file.entry(name).shape != expected) {
            throw Error{where + ": tensor '" + name + "' has shape " + extents_text(file.entry(name).shape) +
                        ", expected " + extents_text(expected) + "; it is from another network or class count"};
        }
        const std::span<float> values = detail::tensor_values(entry, parameters, statistics);
        file.read(name, values);
        for (const float value : values)
            if (!std::isfinite(value))
                throw Error{where + ": tensor '" + name +
                            "' holds a number that is not finite; take an earlier checkpoint"};
    }
    for (const auto& stored : file.tensors()) {
        bool known = stored.name.ends_with("num_batches_tracked");
        for (const NamedTensor& entry : table) known = known || stored.name == entry.name.view();
        if (!known)
            throw Error{where + ": has a tensor '" + stored.name +
                        "' that the network lacks; it is from another network"};
    }
}

template <class Net>
void read_network(SafetensorsFile& file, std::span<float> parameters, std::span<float> statistics) {
    read_network(file, tensor_table<Net>, parameters, statistics);
}

}  // namespace bantam
