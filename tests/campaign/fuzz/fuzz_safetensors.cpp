// SPDX-License-Identifier: MIT
// Reads any bytes as safetensors: what opens obeys the format's rules, all its tensors can be read, and a copy is
// the same.
#include "memory_file.hpp"

#include <bantam/io/safetensors.hpp>

using namespace bantam;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const fuzz::MemoryFile memory;
    try {
        SafetensorsFile file = SafetensorsFile::open(memory.put(data, size));
        std::uint64_t end = file.tensors().empty() ? size : file.tensors().front().position;
        std::vector<std::vector<float>> values;
        std::vector<TensorView> copied;
        for (const TensorEntry& entry : file.tensors()) {
            std::uint64_t count = 1;
            for (const Index extent : entry.shape) count *= static_cast<std::uint64_t>(extent);
            fuzz::require(entry.position == end && count * safetensors_type_bits(entry.type) == 8 * entry.bytes);
            fuzz::require(file.contains(entry.name) && &file.entry(entry.name) == &entry);
            end += entry.bytes;
            if (entry.type != "F32" && entry.type != "F64" && entry.type != "F16" && entry.type != "BF16") continue;
            values.push_back(file.tensor<float>(entry.name));
            copied.emplace_back(entry.name, entry.shape, values.back());
        }
        fuzz::require(end == size);
        if (size > 4096) return 0;
        const auto copy = std::filesystem::temp_directory_path() /
                          ("fuzz_safetensors_" + std::to_string(::getpid()) + ".safetensors");
        write_safetensors(copy, copied, file.metadata());
        SafetensorsFile second = SafetensorsFile::open(copy);
        fuzz::require(second.has_checksum() && second.metadata() == file.metadata());
        fuzz::require(second.tensors().size() == copied.size());
    } catch (const Error&) {
    }
    return 0;
}
