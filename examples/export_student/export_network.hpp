// SPDX-License-Identifier: MIT
// What the file of each student is compiled with in export_student.
#pragma once

#include "student_export.hpp"

#include "../../tools/shared/command_line.hpp"
#include "../../tools/shared/homework.hpp"
#include "../../tools/shared/picture_bytes.hpp"
#include "../../tools/shared/pictures.hpp"
#include "../../tools/shared/student_file.hpp"

#include <bantam/base/error.hpp>
#include <bantam/core/network.hpp>
#include <bantam/data/evaluation_loader.hpp>
#include <bantam/data/folders.hpp>
#include <bantam/data/picture_store.hpp>
#include <bantam/deploy/calibration.hpp>
#include <bantam/deploy/classifier.hpp>
#include <bantam/deploy/export.hpp>
#include <bantam/deploy/fold.hpp>
#include <bantam/deploy/line_classifier.hpp>
#ifdef BANTAM_HAS_ONNX
#include <bantam/deploy/onnx.hpp>
#include <bantam/deploy/onnx_int8.hpp>
#endif
#include <bantam/deploy/prepare.hpp>
#include <bantam/deploy/pytorch.hpp>
#include <bantam/io/atomic_file.hpp>
#include <bantam/io/checkpoint.hpp>
#include <bantam/layers/deployed.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <type_traits>
#include <vector>

namespace export_student {

template <class Net, class P>
double accuracy(const deploy::Weights<Net, P>& weights, const PictureBytes& pictures) {
    const auto classifier = std::make_unique<deploy::Classifier<Net, P>>(weights);
    Index right = 0;
    pictures.for_each([&](const std::uint8_t* bytes, int label) { right += classifier->classify(bytes) == label; });
    return static_cast<double>(right) / static_cast<double>(pictures.count());
}

/// A file to write, and what the program says when it is written.
struct OutputFile {
    std::filesystem::path path;
    std::string contents;
    std::string report;
};

template <class Net, class P>
OutputFile header_file(const Options& options, const deploy::Weights<Net, P>& weights,
                       const std::vector<std::string>& classes) {
    std::string line_by_line;
    if constexpr (deploy::runs_line_by_line<Net>)
        line_by_line = fmt::format(", {} bytes line by line", deploy::LineClassifier<Net, P>::arena_bytes);
    return {options.output, deploy::header_text<Net>(weights, {.classes = classes, .stored_size = options.stored_size}),
            fmt::format("{} bytes of weights, {} bytes of arena layer by layer{}, {} multiply-adds",
                        deploy::weight_bytes<Net, P>, deploy::Classifier<Net, P>::arena_bytes, line_by_line,
                        multiply_adds<Net>)};
}

inline std::string colors(const std::array<float, 3>& of) { return fmt::format("[{}, {}, {}]", of[0], of[1], of[2]); }

#ifdef BANTAM_HAS_ONNX
/// What the user of an ONNX model must know of the pictures.
inline deploy::OnnxText onnx_text(const Options& options, const std::vector<std::string>& classes) {
    const deploy::PixelScaling scaling;
    return {.metadata = {{"classes", json_text(classes)},
                         {"mean", colors(scaling.mean)},
                         {"deviation", colors(scaling.deviation)},
                         {"stored_size", std::to_string(options.stored_size)}}};
}
#endif

/// The student as a PyTorch module.
template <class Net>
OutputFile pytorch_file(const Options& options, const std::vector<std::string>& classes) {
    const deploy::PixelScaling scaling;
    return {options.pytorch,
            deploy::pytorch_source<Net>(fmt::format(
                "Classes: {}.\nA pixel is (byte / 255 - mean) / deviation with mean {} and\ndeviation {}; pictures are "
                "resized to {} x {} before\nthe view of the network's size is cut.\n",
                json_text(classes), colors(scaling.mean), colors(scaling.deviation), options.stored_size,
                options.stored_size)),
            "PyTorch module"};
}

/// Refuses outputs that are inputs, named twice, or cannot be written, before the work for them.
inline void check_outputs(const Options& options, const HomeworkFolders& folders) {
    std::set<std::filesystem::path> names;
    for (const std::filesystem::path& output : {options.output, options.onnx, options.onnx_int8, options.pytorch}) {
        if (output.empty()) continue;
        refuse_input_as_output(output, options.data, folders, options.weights);
        if (!names.insert(output.lexically_normal()).second)
            throw Error{output.string() + ": is the name of two outputs; choose another for one of them"};
        AtomicFile{output};
    }
}

/// Throws Error where the options ask for what `Net` or the other options do not allow.
template <class Net>
void check_options(const Options& options) {
    if (options.precision == "int8" && !deploy::form_problem<Net, deploy::Int8>.empty())
        throw Error{
            fmt::format("--precision int8: {}; use --precision float32", deploy::form_problem<Net, deploy::Int8>)};
    if (options.precision == "float32" && !options.onnx_int8.empty())
        throw Error{"--onnx-int8: needs the calibration of --precision int8; leave out --precision float32"};
    if (!(options.kept > 0.5 && options.kept <= 1))
        throw Error{fmt::format("--kept {}: choose more than 0.5 and at most 1", options.kept)};
}

template <class Student>
void export_student(Options options, SafetensorsFile& file) {
    using Trained = KeptNetwork<Student>;
    using Net = Deployed<Trained>;
    constexpr auto classes = static_cast<int>(class_count<Net>);
    check_options<Net>(options);
    std::vector<float> trained_parameters(static_cast<std::size_t>(trainable_parameters<Trained>));
    std::vector<float> trained_statistics(static_cast<std::size_t>(non_trainable_parameters<Trained>));
    read_network<Trained>(file, trained_parameters, trained_statistics);
    const auto [parameters, statistics] = deploy::fold_tensors<Trained>(trained_parameters, trained_statistics);
    const auto float32 = deploy::prepare_float32<Net>(parameters, statistics);

    const HomeworkFolders folders = open_homework(options.data, classes);
    check_outputs(options, folders);
    options.stored_size = stored_size_of_student(file, folders.classes, options.stored_size);

    // All files are written at the end, so that a failure leaves none.
    std::vector<OutputFile> files;
#ifdef BANTAM_HAS_ONNX
    const deploy::OnnxText about = onnx_text(options, folders.classes);
    if (!options.onnx.empty())
        files.push_back({options.onnx, deploy::onnx_model<Net>(parameters, statistics, about), "ONNX model, float32"});
#endif
    // The module loads the student's file.
    if (!options.pytorch.empty()) files.push_back(pytorch_file<Trained>(options, folders.classes));
    const PictureOptions reading{.stored_size = options.stored_size, .threads = processor_count()};
    const LabeledPictures validation = load_with_report(options.data, folders.validation, reading, "validation");
    const PictureBytes judged{validation, input_shape<Net>, static_cast<Index>(validation.store.size())};
    fmt::print("float32: validation accuracy {:.4f} of {} pictures\n", accuracy(*float32, judged), judged.count());
    if (options.precision == "float32") files.push_back(header_file<Net>(options, *float32, folders.classes));

    if constexpr (deploy::form_problem<Net, deploy::Int8>.empty()) {
        if (options.precision == "int8") {
            std::vector<float> ranges;
            if constexpr (std::is_same_v<Net, Trained>) ranges = int8_ranges(file);
            std::string origin = "with the ranges that it was trained for";
            if (ranges.empty()) {
                const LabeledPictures training = load_with_report(options.data, folders.training, reading, "labeled");
                const PictureBytes seen{training, input_shape<Net>, options.calibration_pictures};
                deploy::Calibration<Net> calibration{*float32};
                seen.for_each([&](const std::uint8_t* bytes, int) { calibration.add(bytes); });
                ranges = calibration.largest(options.kept);
                origin = fmt::format("calibrated on {} training pictures", calibration.picture_count());
            }
            const auto int8 = deploy::prepare_int8<Net>(parameters, statistics, ranges);
            fmt::print("int8: validation accuracy {:.4f}, {}\n", accuracy(*int8, judged), origin);
#ifdef BANTAM_HAS_ONNX
            if (!options.onnx_int8.empty())
                files.push_back({options.onnx_int8, deploy::onnx_int8_model<Net>(parameters, statistics, ranges, about),
                                 "ONNX model, int8"});
#endif
            files.push_back(header_file<Net>(options, *int8, folders.classes));
        }
    }
    for (const OutputFile& written : files) {
        write_file(written.path, written.contents);
        fmt::print("{}: {}\n", written.path.string(), written.report);
    }
}

}  // namespace export_student
