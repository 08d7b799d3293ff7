// SPDX-License-Identifier: MIT
// Takes a student of distill_food11 to a device: a C++ header with the network's type and its weights, in int8 or in
// float, and how many pictures of validation/ the student names right before and after. Also an ONNX model and a
// PyTorch module.
//
// Another class count or picture size: -DBANTAM_CLASSES=10, -DBANTAM_IMAGE_SIZE=64 with CMake.

#include "export_student/student_export.hpp"

#include "../tools/shared/command_line.hpp"
#include "../tools/shared/student_file.hpp"

#include <bantam/base/error.hpp>
#include <bantam/base/printable.hpp>

#include <fmt/format.h>

#include <filesystem>
#include <string>

using namespace bantam;

namespace {

/// The student that the options or else the weights name.
const export_student::StudentExport& chosen_student(const std::string& option, const SafetensorsFile& weights) {
    const std::string name = option.empty() ? student_name(weights) : option;
    std::string known;
    for (const export_student::StudentExport& student : export_student::students()) {
        if (name.empty() || student.name == name) return student;
        known += fmt::format("{}{}", known.empty() ? "" : ", ", student.name);
    }
    throw Error{
        fmt::format("the student '{}' is not in this program, which was built with {}; build it with "
                    "-DBANTAM_STUDENTS={}, or name another with --student",
                    printable(name), known, printable(name))};
}

void run(const export_student::Options& options) {
#ifndef BANTAM_HAS_ONNX
    if (!options.onnx.empty() || !options.onnx_int8.empty())
        throw Error{"this program was built without ONNX; install libonnx-dev and configure the build again"};
#endif
    if (!std::filesystem::exists(options.weights))
        throw Error{options.weights.string() + ": no such file; train first, or name one with --weights"};
    SafetensorsFile weights = SafetensorsFile::open(options.weights);
    chosen_student(options.student, weights).run(options, weights);
}

}  // namespace

int main(int argc, char** argv) {
    export_student::Options options;
    CommandLine line{"Writes a student of distill_food11 as a C++ header for a device"};
    line.option("--data", options.data, "Folder with training/ and validation/").required();
    line.option("--weights", options.weights, "Student to export");
    line.option("--student", options.student, "Its network; by default the one that the weights name");
    line.option("--output", options.output, "Header to write");
    line.option("--onnx", options.onnx, "Also writes the student as an ONNX model in float32 to this file");
    line.option("--onnx-int8", options.onnx_int8, "Also writes it as an ONNX model in int8 (QDQ) to this file");
    line.option("--pytorch", options.pytorch, "Also writes the student as a PyTorch module to this .py file");
    line.option("--precision", options.precision, "Numbers of the device").one_of({"int8", "float32"});
    line.option("--stored-size", options.stored_size, "Side of the pictures in memory, if the weights do not name it")
        .between(8, 4096);
    line.option("--calibration-pictures", options.calibration_pictures, "Training pictures that int8 is scaled by")
        .between(1, 1'000'000);
    line.option("--kept", options.kept, "Share of a map's elements that its int8 scale holds, above 0.5");
    return line.run(argc, argv, [&] { run(options); });
}
