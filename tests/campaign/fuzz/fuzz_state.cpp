// SPDX-License-Identifier: MIT
// Takes any bytes as entries of the metadata of last.safetensors (KEY=VALUE lines) and, after a zero byte, as
// metrics.csv: what can be resumed is in range and can be saved again, which takes long and is done with some inputs.
#include "memory_file.hpp"

#include <bantam/bantam.hpp>
#include <bantam/io/safetensors.hpp>
#include <bantam/train/run_folder.hpp>

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>

#include <unistd.h>

using namespace bantam;

namespace {

using Net = Network<Image<4, 4, 3>, Conv2d<2, 3>, BatchNorm2d, GlobalAveragePool, Linear<2>>;

TrainingOptions options() {
    TrainingOptions options;
    options.epochs = 3;
    options.warmup_epochs = 1;
    return options;
}

/// A folder with a sound state; the input replaces entries of its metadata.
struct Run {
    std::filesystem::path folder = std::filesystem::temp_directory_path() / ("fuzz_state_" + std::to_string(getpid()));
    Trainer<Net> trainer{options()};
    Metadata sound;
    std::string tensors, data;  // the header's end, and what follows it

    Run() {
        RunFolder run{folder, {}};
        EpochReport report;
        report.epoch = 1;
        report.validation.loss = 0.5;
        report.validation.accuracy = 0.5;
        run.finish_epoch<Net>(trainer, report, {});
        SafetensorsFile file = SafetensorsFile::open(run.last());
        sound = file.metadata();
        for (const TensorEntry& entry : file.tensors()) {
            const std::string begin = std::to_string(data.size()), count = std::to_string(entry.element_count());
            const std::vector<float> values = file.tensor<float>(entry.name);
            data.append(reinterpret_cast<const char*>(values.data()), entry.bytes);
            tensors += ",\"" + entry.name + R"(":{"dtype":"F32","shape":[)" + count + R"(],"data_offsets":[)" + begin +
                       ',' + std::to_string(data.size()) + "]}";
        }
    }
    ~Run() { std::filesystem::remove_all(folder); }

    /// last.safetensors with other metadata. Without a checksum: the file is not what is tested.
    std::string last(const Metadata& metadata) const {
        std::string header;
        for (const auto& [key, value] : metadata) {
            header += (header.empty() ? R"({"__metadata__":{")" : ",\"") + key + "\":\"";
            for (const char c : value) {
                constexpr const char* digits = "0123456789abcdef";
                const auto byte = static_cast<unsigned char>(c);
                if (c == '"' || c == '\\' || byte < ' ')
                    header += std::string{"\\u00"} + digits[byte >> 4] + digits[byte & 15];
                else
                    header += c;
            }
            header += '"';
        }
        header += '}' + tensors + '}';
        const std::uint64_t length = header.size();
        return std::string{reinterpret_cast<const char*>(&length), sizeof length} + header + data;
    }
};

void write_text(const std::filesystem::path& path, std::string_view text) {
    std::ofstream{path, std::ios::binary} << text;
}

}  // namespace

/// The files lie in memory.
extern "C" int fsync(int) { return 0; }

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static Run run;
    const std::string_view input{reinterpret_cast<const char*>(data), size};
    const std::size_t split = std::min(input.find('\0'), input.size());
    write_text(run.folder / "metrics.csv", input.substr(std::min(split + 1, input.size())));

    Metadata metadata = run.sound;
    for (std::string_view rest = input.substr(0, split); !rest.empty();) {
        const std::string_view line = rest.substr(0, rest.find('\n'));
        rest.remove_prefix(std::min(line.size() + 1, rest.size()));
        const std::size_t equals = line.find('=');
        if (equals == line.npos) continue;
        const auto entry = metadata.find(std::string{line.substr(0, equals)});
        if (entry != metadata.end()) entry->second = line.substr(equals + 1);
    }
    try {
        write_text(run.folder / "last.safetensors", run.last(metadata));
        RunFolder folder{run.folder, {}};
        folder.resume(run.trainer);
        const TrainingPosition& position = folder.position();
        fuzz::require(position.epoch >= 0 && position.epoch <= 3 && position.batch >= 0 &&
                      std::isfinite(position.sums.loss) && folder.picked(Keep::loss).epoch <= position.epoch);
        if (size % 8 == 0) folder.save(run.trainer, position);
    } catch (const Error&) {
    }
    return 0;
}
