// SPDX-License-Identifier: MIT
// Makes a trained student smaller: removes the channels with the smallest batch-norm scales until a limit of parameters
// holds, and writes the smaller network as a student of its own with its weights, to be trained further.

#include "prune_channels.hpp"

#include "shared/command_line.hpp"
#include "shared/student_file.hpp"

#include <bantam/base/error.hpp>
#include <bantam/base/printable.hpp>
#include <bantam/io/atomic_file.hpp>
#include <bantam/io/checkpoint.hpp>
#include <bantam/io/read_file.hpp>
#include <bantam/prune/prune_channels.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <numeric>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

using namespace bantam;

namespace {

struct Options {
    std::filesystem::path weights;
    std::filesystem::path output;
    std::string name = "pruned";
    std::int64_t parameters = 100'000;
    int multiple = 4;
    double least_share = 0.125;
};

/// The student that the weights name.
prune_channels::StudentEntry chosen_student(const SafetensorsFile& weights) {
    const std::string name = student_name(weights);
    if (name.empty())
        throw Error{weights.path().string() + ": names no student; give a student.safetensors of distill_food11"};
    std::string known;
    for (prune_channels::StudentEntry& student : prune_channels::students()) {
        if (student.name == name) return std::move(student);
        known += (known.empty() ? "" : ", ") + student.name;
    }
    throw Error{
        fmt::format("{}: holds the student '{}', this program knows {}; name the folder of its header with "
                    "-DBANTAM_STUDENT_FOLDERS=... and build it again",
                    weights.path().string(), printable(name), known)};
}

/// "wide-2" to "wide_2"; throws Error where the name cannot be that of a namespace.
std::string identifier(const std::string& name) {
    std::string text = name;
    std::ranges::replace(text, '-', '_');
    const auto letter = [](char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0; };
    const auto allowed = [&](char c) { return letter(c) || std::isdigit(static_cast<unsigned char>(c)) || c == '_'; };
    if (text.empty() || !letter(text[0]) || !std::ranges::all_of(text, allowed))
        throw Error{"--name is '" + printable(name) + "'; it has letters, digits and dashes, and begins with a letter"};
    return text;
}

constexpr std::string_view header_note = "// Written by prune_channels from ";

/// Throws Error where a file of the smaller student exists that no earlier run of this program wrote.
void refuse_other_files(const std::filesystem::path& header, const std::filesystem::path& weights) {
    if (std::filesystem::is_regular_file(header)) {
        const std::vector<std::uint8_t> bytes = read_file(header);
        if (!std::ranges::search(bytes, header_note).empty()) return;
    }
    for (const std::filesystem::path& path : {header, weights})
        if (std::filesystem::exists(path))
            throw Error{path.string() + ": exists and is not of prune_channels; choose another --name or --output"};
}

std::string header_text(const Options& options, const std::string& space, const std::vector<std::string>& layers,
                        const std::string& source) {
    std::string list;
    for (const std::string& layer : layers) list += ",\n    " + layer;
    return fmt::format(
        "// SPDX-License-Identifier: MIT\n{4}{1}, with at most {2} parameters.\n#pragma "
        "once\n\n#include <bantam/core/network.hpp>\n#include <bantam/layers/all.hpp>\n\nnamespace students::{0} "
        "{{\n\nusing namespace bantam;\n\ntemplate <int Classes, int Size>\nusing Network = "
        "bantam::Network<\n    Image<Size, Size, 3>{3}>;\n\ninline constexpr const char* accuracy = \"-\";\n\n}}  // "
        "namespace students::{0}\n",
        space, source, options.parameters, list, header_note);
}

void print_groups(const PrunableNetwork& network, const KeptChannels& kept) {
    fmt::print("{:>10}  {:>10}  first layer\n", "channels", "kept");
    for (std::size_t g = 0; g < network.groups.size(); ++g) {
        const ChannelGroup& group = network.groups[g];
        if (group.fixed || group.norms.empty()) continue;
        const NamedTensor& norm = network.tensors[static_cast<std::size_t>(*std::ranges::min_element(group.norms))];
        fmt::print("{:>10}  {:>10}  {}\n", group.channels, kept[g].size(),
                   norm.name.view().substr(0, norm.name.view().rfind('.')));
    }
}

void run(const Options& options) {
    if (!std::filesystem::exists(options.weights))
        throw Error{options.weights.string() + ": no such file; train first, or name one with --weights"};
    const std::string space = identifier(options.name);
    const std::filesystem::path header = options.output / (space + ".hpp");
    const std::filesystem::path weights = options.output / (space + ".safetensors");
    if (std::filesystem::exists(weights) && std::filesystem::equivalent(weights, options.weights))
        throw Error{weights.string() + ": is the student to be pruned and would be replaced; choose another --name"};
    refuse_other_files(header, weights);
    SafetensorsFile file = SafetensorsFile::open(options.weights);
    const prune_channels::StudentEntry student = chosen_student(file);
    const PrunableNetwork& network = student.network;

    const auto count = [&](bool trainable) {
        return std::accumulate(
            network.tensors.begin(), network.tensors.end(), Index{0}, [=](Index sum, const NamedTensor& entry) {
                return sum + (entry.tensor.trainable == trainable ? entry.tensor.element_count() : 0);
            });
    };
    std::vector<float> parameters(static_cast<std::size_t>(count(true)));
    std::vector<float> statistics(static_cast<std::size_t>(count(false)));
    read_network(file, network.tensors, parameters, statistics);

    const KeptChannels kept = choose_channels(
        network, parameters,
        {.parameters = options.parameters, .multiple = options.multiple, .least_share = options.least_share});
    const std::vector<PrunedTensor> tensors = bantam::prune_channels(network, kept, parameters, statistics);
    const std::vector<std::string> layers = pruned_layers(network, kept, "Classes");

    const auto left = static_cast<Index>(
        std::accumulate(tensors.begin(), tensors.end(), std::size_t{0},
                        [](std::size_t sum, const PrunedTensor& tensor) { return sum + tensor.values.size(); }));
    Metadata metadata = file.metadata();
    for (const char* of_the_run : {"run", "epoch", "started_from"}) metadata.erase(of_the_run);
    metadata["network"] = fmt::format("{}, {} classes, {}x{}x{}, {} parameters", options.name, student.classes,
                                      student.input.height, student.input.width, student.input.channels, left);
    metadata["pruned_from"] = file.metadata("network");

    std::error_code cause;
    std::filesystem::create_directories(options.output, cause);
    if (cause)
        throw Error{options.output.string() + ": cannot be used as an output folder: " + cause.message() +
                    "; choose another one"};
    std::vector<TensorView> views;
    for (const PrunedTensor& tensor : tensors) views.emplace_back(tensor.name, tensor.extents, tensor.values);
    write_safetensors(weights, views, metadata);
    write_file(header, header_text(options, space, layers, student.name));

    print_groups(network, kept);
    fmt::print(
        "\n{} parameters of {}\nstudent: {}\nweights: {}\n\nTrain it further: build with "
        "-DBANTAM_STUDENT_FOLDERS={} -DBANTAM_STUDENTS={}, then\n    distill_food11 --student {} --start-from {} "
        "...\n",
        left, parameters.size() + statistics.size(), header.string(), weights.string(),
        std::filesystem::absolute(options.output).lexically_normal().string(), options.name, options.name,
        weights.string());
}

}  // namespace

int main(int argc, char** argv) {
    Options options;
    CommandLine line{"Removes channels of a trained student until it fits a limit of parameters"};
    line.option("--weights", options.weights, "A student.safetensors of distill_food11").required();
    line.option("--output", options.output, "Folder for the smaller student: its header and its weights").required();
    line.option("--name", options.name, "Name of the smaller student");
    line.option("--parameters", options.parameters, "The most parameters that stay, statistics included")
        .between(1, 1'000'000'000);
    line.option("--multiple", options.multiple, "Widths are multiples of it").between(1, 256);
    line.option("--least-share", options.least_share, "Part of the channels that stays of every width");
    return line.run(argc, argv, [&] {
        if (!(options.least_share > 0 && options.least_share <= 1))
            throw Error{fmt::format("--least-share is {}; it must be above 0 and at most 1", options.least_share)};
        run(options);
    });
}
