// SPDX-License-Identifier: MIT
// Takes any bytes as entries of the metadata of last.safetensors (KEY=VALUE lines) and, after a zero byte, as
// metrics.csv: what can be resumed is in range and can be saved again.
#include <bantam/bantam.hpp>
#include <bantam/io/safetensors.hpp>
#include <bantam/train/run_folder.hpp>

#include <unistd.h>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

using namespace bantam;

namespace {

using Net = Network<Image<4, 4, 3>, Conv2d<2, 3>, BatchNorm2d, GlobalAveragePool, Linear<2>>;

TrainingOptions options() {
    TrainingOptions options;
    options.epochs = 3;
    options.warmup_epochs = 1;
    return options;
}

/// A folder with a sound state; the input replaces entries of its metadata: KEY=VALUE lines.
struct Run {
    std::filesystem::path folder = std::filesystem::temp_directory_path() / ("fuzz_state_" + std::to_string(getpid()));
    Metadata sound;

    Run() {
        Trainer<Net> trainer{options()};
        RunFolder run{folder, {}};
        EpochReport report;
        report.epoch = 1;
        report.validation.loss = 0.5;
        report.validation.accuracy = 0.5;
        run.finish_epoch<Net>(trainer, report, {});
        sound = SafetensorsFile::open(run.last()).metadata();
    }
    ~Run() { std::filesystem::remove_all(folder); }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static Run run;
    static Trainer<Net> trainer{options()};
    const std::string input{reinterpret_cast<const char*>(data), size};
    const std::size_t split = std::min(input.find('\0'), input.size());
    std::ofstream{run.folder / "metrics.csv"} << input.substr(std::min(split + 1, input.size()));

    Metadata metadata = run.sound;
    std::istringstream lines{input.substr(0, split)};
    for (std::string line; std::getline(lines, line);) {
        const std::size_t equals = line.find('=');
        if (equals != std::string::npos && metadata.contains(line.substr(0, equals)))
            metadata[line.substr(0, equals)] = line.substr(equals + 1);
    }
    std::vector<TensorView> tensors;
    for (const auto& state : trainer.state())
        tensors.emplace_back(state.name, std::vector<Index>{std::ssize(state.values)},
                             std::span<const float>{state.values});
    try {
        write_safetensors(run.folder / "last.safetensors", tensors, metadata);
        RunFolder folder{run.folder, {}};
        folder.resume(trainer);
        const TrainingPosition& position = folder.position();
        const bool in_range = position.epoch >= 0 && position.epoch <= 3 && position.batch >= 0 &&
                              std::isfinite(position.sums.loss) && folder.picked(Keep::loss).epoch <= position.epoch;
        if (!in_range) std::abort();
        folder.save(trainer, position);
    } catch (const Error&) {
    }
    return 0;
}
