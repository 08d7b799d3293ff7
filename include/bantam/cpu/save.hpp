// SPDX-License-Identifier: MIT
// Needs nlohmann/json (Debian: nlohmann-json3-dev).
#pragma once

#include <bantam/core/network.hpp>
#include <bantam/cpu/model.hpp>
#include <bantam/exec/initialize.hpp>
#include <bantam/io/checkpoint.hpp>
#include <bantam/io/safetensors.hpp>
#include <bantam/train/device.hpp>

#include <cstddef>
#include <filesystem>
#include <span>
#include <utility>
#include <vector>

namespace bantam {

/// Writes the weights to keep as a safetensors file in one step, under PyTorch's names for the tensors. Throws Error
/// naming a file that cannot be written, and where a model has no weights yet.
template <class Net, class Device, class Loss>
void save(const std::filesystem::path& path, Trainer<Net, Device, Loss>& trainer, Metadata metadata = {}) {
    write_network<KeptNetwork<Net>>(path, trainer.parameters(), trainer.statistics(), std::move(metadata));
}
template <class Net, bool Fused>
void save(const std::filesystem::path& path, const cpu::Model<Net, float, Fused>& model, Metadata metadata = {}) {
    if (!model.has_weights()) detail::throw_no_weights();
    write_network<Net>(path, model.parameters(), model.statistics(), std::move(metadata));
}

/// The model whose weights a file holds. Throws Error naming the file where it is missing, broken or from another
/// network.
template <class Net>
cpu::Model<Net> load(const std::filesystem::path& path, int threads = 1) {
    SafetensorsFile file = SafetensorsFile::open(path);
    cpu::Model<Net> model{threads};
    model.update([&](std::span<float> parameters, std::span<float> statistics) {
        read_network<Net>(file, parameters, statistics);
    });
    return model;
}

/// Starts a trainer from the weights that a file holds. Throws Error as the other `load` does; the trainer has then not
/// changed.
template <class Net, class Device, class Loss>
void load(const std::filesystem::path& path, Trainer<Net, Device, Loss>& trainer) {
    SafetensorsFile file = SafetensorsFile::open(path);
    std::vector<float> parameters(static_cast<std::size_t>(trainable_parameters<KeptNetwork<Net>>));
    std::vector<float> statistics(static_cast<std::size_t>(non_trainable_parameters<KeptNetwork<Net>>));
    // Explicit spans: with <filesystem> included, nvcc 13.0 does not convert a vector to a span.
    const std::span<float> to_parameters{parameters.data(), parameters.size()};
    const std::span<float> to_statistics{statistics.data(), statistics.size()};
    read_network<KeptNetwork<Net>>(file, to_parameters, to_statistics);
    trainer.set_weights(to_parameters, to_statistics);
}

}  // namespace bantam
