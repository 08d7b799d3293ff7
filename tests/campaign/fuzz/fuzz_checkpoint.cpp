// SPDX-License-Identifier: MIT
// Reads any bytes as the weights of a network and its metadata as counts: what is read is finite and in range.
#include "memory_file.hpp"

#include <bantam/bantam.hpp>
#include <bantam/io/checkpoint.hpp>

using namespace bantam;

namespace {

using Net = Network<Image<4, 4, 3>, Conv2d<4, 3>, BatchNorm2d, ReLU6, GlobalAveragePool, Linear<3>>;

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const fuzz::MemoryFile memory;
    static std::vector<float> parameters(trainable_parameters<Net>), statistics(non_trainable_parameters<Net>);
    try {
        SafetensorsFile file = SafetensorsFile::open(memory.put(data, size));
        for (const auto& [key, text] : file.metadata()) {
            try {
                const Index count = metadata_count(file, key, 3, 70);
                fuzz::require(count >= 3 && count <= 70);
            } catch (const Error&) {
            }
        }
        read_network<Net>(file, parameters, statistics);
        for (const auto* values : {&parameters, &statistics})
            for (const float value : *values) fuzz::require(std::isfinite(value));
    } catch (const Error&) {
    }
    return 0;
}
