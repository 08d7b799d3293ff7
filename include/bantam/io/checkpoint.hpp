// SPDX-License-Identifier: MIT
// Needs nlohmann/json and xxhash (see io/safetensors.hpp).
#pragma once

#include <bantam/base/error.hpp>
#include <bantam/base/index.hpp>
#include <bantam/base/printable.hpp>
#include <bantam/core/network.hpp>
#include <bantam/io/parse_number.hpp>
#include <bantam/io/safetensors.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
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

// "'a' (and 3 others)": the first of several names.
inline std::string first_of(const std::vector<std::string>& names) {
    const std::string others = names.size() == 1 ? "" : " (and " + std::to_string(names.size() - 1) + " others)";
    return "'" + printable(names.front()) + "'" + others;
}

}  // namespace detail

/// How the tensors' names in a file differ from those of a network.
struct NameDifferences {
    std::vector<std::string> missing;     ///< of the network, in its order
    std::vector<std::string> unexpected;  ///< in the file, without the counts of batches that PyTorch stores
    std::string prefix;  ///< what stands before every missing name in the file, as wrappers of modules put it there

    bool none() const { return missing.empty() && unexpected.empty(); }

    /// "has no tensor 'a' (and 3 others), and a tensor 'b' that the network lacks; …", for an error message.
    std::string text() const {
        if (!prefix.empty())
            return "its tensors' names begin with '" + printable(prefix) +
                   "'; remove that with tools/convert_teacher.py";
        std::string what = "has ";
        if (!missing.empty()) what += "no tensor " + detail::first_of(missing);
        if (!missing.empty() && !unexpected.empty()) what += ", and ";
        if (!unexpected.empty()) what += "a tensor " + detail::first_of(unexpected) + " that the network lacks";
        return what + "; it is from another network";
    }
};

inline NameDifferences compare_names(const SafetensorsFile& file, std::span<const NamedTensor> table) {
    NameDifferences found;
    std::set<std::string_view> known;
    for (const NamedTensor& entry : table) {
        known.insert(entry.name.view());
        if (!file.contains(entry.name.view())) found.missing.emplace_back(entry.name.view());
    }
    for (const TensorEntry& stored : file.tensors())
        if (!known.contains(stored.name) && !stored.name.ends_with("num_batches_tracked"))
            found.unexpected.push_back(stored.name);
    if (found.missing.empty()) return found;
    for (const std::string& name : found.unexpected) {
        if (!name.ends_with("." + found.missing.front())) continue;
        const std::string prefix = name.substr(0, name.size() - found.missing.front().size());
        if (std::ranges::all_of(found.missing, [&](const std::string& rest) { return file.contains(prefix + rest); }))
            found.prefix = prefix;
    }
    return found;
}

/// A whole number from `least` to `most` in a file's metadata. Throws Error naming the file, the key and the text
/// found, also where the key is missing.
inline Index metadata_count(const SafetensorsFile& file, const std::string& key, Index least, Index most) {
    const std::string& text = file.metadata(key);
    const std::optional<Index> value = parse_number<Index>(text);
    if (!value || *value < least || *value > most)
        throw Error{file.path().string() + ": its metadata '" + key + "' is '" + printable(text) +
                    "', expected a whole number from " + std::to_string(least) + " to " + std::to_string(most) +
                    "; take another file or create it again"};
    return *value;
}

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

/// Throws Error naming the file and the tensor where a value is not finite.
inline void require_finite(const SafetensorsFile& file, std::string_view tensor, std::span<const float> values) {
    if (!std::ranges::all_of(values, [](float value) { return std::isfinite(value); }))
        throw Error{file.path().string() + ": tensor '" + printable(tensor) +
                    "' holds a number that is not finite; take an earlier checkpoint"};
}

/// Reads the tensors of a network's table by name into the flat buffers; a checkpoint of PyTorch's fits where the
/// names do. Throws Error naming the file and the first tensors that are missing or not part of the network,
/// that has another shape, or holds a number that is not finite. A tensor of the layer `may_differ` ("12.") keeps its
/// values where it has another shape. Returns whether there was one.
inline bool read_network(SafetensorsFile& file, std::span<const NamedTensor> table, std::span<float> parameters,
                         std::span<float> statistics, std::string_view may_differ = {}) {
    const std::string where = file.path().string();
    bool differs = false;
    if (const NameDifferences differences = compare_names(file, table); !differences.none())
        throw Error{where + ": " + differences.text()};
    for (const NamedTensor& entry : table) {
        const std::string name{entry.name.view()};
        const std::vector<Index> expected = detail::tensor_shape(entry.tensor);
        if (file.entry(name).shape != expected) {
            differs = !may_differ.empty() && name.starts_with(may_differ);
            if (differs) continue;
            throw Error{where + ": tensor '" + name + "' has shape " + extents_text(file.entry(name).shape) +
                        ", expected " + extents_text(expected) + "; it is from another network or class count"};
        }
        const std::span<float> values = detail::tensor_values(entry, parameters, statistics);
        file.read(name, values);
        require_finite(file, name, values);
    }
    return differs;
}

template <class Net>
void read_network(SafetensorsFile& file, std::span<float> parameters, std::span<float> statistics) {
    read_network(file, tensor_table<Net>, parameters, statistics);
}

}  // namespace bantam
