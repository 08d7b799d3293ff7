// SPDX-License-Identifier: MIT
// Takes a student of distill_food11 to a device: a C++ header with the network's type and its weights, in int8 or in
// float, and how many pictures of validation/ the student names right before and after.
//
// Another class count or picture size: -DBANTAM_CLASSES=10, -DBANTAM_IMAGE_SIZE=64 with CMake.

#include "../tools/shared/command_line.hpp"
#include "../tools/shared/homework.hpp"
#include "../tools/shared/pictures.hpp"

#include <bantam/data/evaluation_loader.hpp>
#include <bantam/data/folders.hpp>
#include <bantam/data/picture_store.hpp>
#include <bantam/deploy/calibration.hpp>
#include <bantam/deploy/classifier.hpp>
#include <bantam/deploy/export.hpp>
#include <bantam/deploy/line_classifier.hpp>
#ifdef BANTAM_HAS_ONNX
#include <bantam/deploy/onnx.hpp>
#endif
#include <bantam/deploy/prepare.hpp>
#include <bantam/io/atomic_file.hpp>
#include <bantam/io/checkpoint.hpp>
#include <bantam/models/mobile.hpp>

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#ifndef BANTAM_CLASSES
#define BANTAM_CLASSES 11
#endif
#ifndef BANTAM_IMAGE_SIZE
#define BANTAM_IMAGE_SIZE 128
#endif

namespace {

using namespace bantam;

// The student that distill_food11 trains.
using Net = Mobile98k<BANTAM_CLASSES, BANTAM_IMAGE_SIZE>;

struct Options {
    std::filesystem::path data;
    std::filesystem::path weights = "distill_food11_output/student.safetensors";
    std::filesystem::path output = "student.hpp";
    std::filesystem::path onnx;
    std::string precision = "int8";
    int stored_size = 144;
    int calibration_pictures = 512;
    double kept = 1;
};

/// `count` pictures, evenly spread over the split, as bytes of the network's size.
class PictureBytes {
public:
    PictureBytes(const LabeledPictures& pictures, Index count)
        : loader_{pictures, input_shape<Net>, 1, Normalization{{0, 0, 0}, {1, 1, 1}}},
          count_{std::min(count, loader_.sample_count())} {}

    Index count() const { return count_; }

    /// Calls `body(bytes, label)` for every picture.
    template <class Body>
    void for_each(Body&& body) const {
        Batch batch;
        std::vector<std::uint8_t> bytes(static_cast<std::size_t>(element_count(input_shape<Net>)));
        for (Index i = 0; i < count_; ++i) {
            loader_.assemble(i * loader_.sample_count() / count_, batch);
            std::transform(batch.pixels.begin(), batch.pixels.begin() + static_cast<std::ptrdiff_t>(bytes.size()),
                           bytes.begin(), [](float color) {
                               return static_cast<std::uint8_t>(std::lround(std::clamp(color, 0.0F, 1.0F) * 255));
                           });
            body(bytes.data(), batch.labels[0]);
        }
    }

private:
    EvaluationLoader loader_;
    Index count_;
};

template <class P>
double accuracy(const deploy::Weights<Net, P>& weights, const PictureBytes& pictures) {
    const auto classifier = std::make_unique<deploy::Classifier<Net, P>>(weights);
    Index right = 0;
    pictures.for_each([&](const std::uint8_t* bytes, int label) { right += classifier->classify(bytes) == label; });
    return static_cast<double>(right) / static_cast<double>(pictures.count());
}

template <class P>
void write_header(const Options& options, const deploy::Weights<Net, P>& weights,
                  const std::vector<std::string>& classes) {
    const deploy::HeaderText about{.type = fmt::format("bantam::Mobile98k<{}, {}>", BANTAM_CLASSES, BANTAM_IMAGE_SIZE),
                                   .includes = {"bantam/models/mobile.hpp"},
                                   .classes = classes,
                                   .stored_size = options.stored_size};
    write_file(options.output, deploy::header_text<Net>(weights, about));
    fmt::print("{}: {} bytes of weights, {} bytes of arena layer by layer, {} bytes line by line, {} multiply-adds\n",
               options.output.string(), deploy::weight_bytes<Net, P>, deploy::Classifier<Net, P>::arena_bytes,
               deploy::LineClassifier<Net, P>::arena_bytes, multiply_adds<Net>);
}

/// The student in float32 as an ONNX model with what its user must know of the pictures.
void write_onnx([[maybe_unused]] const Options& options, [[maybe_unused]] const std::vector<float>& parameters,
                [[maybe_unused]] const std::vector<float>& statistics,
                [[maybe_unused]] const std::vector<std::string>& classes) {
#ifdef BANTAM_HAS_ONNX
    const deploy::PixelScaling scaling;
    const auto colors = [](const std::array<float, 3>& of) { return fmt::format("[{}, {}, {}]", of[0], of[1], of[2]); };
    write_file(options.onnx,
               deploy::onnx_model<Net>(parameters, statistics,
                                       {.metadata = {{"classes", json_text(classes)},
                                                     {"mean", colors(scaling.mean)},
                                                     {"deviation", colors(scaling.deviation)},
                                                     {"stored_size", std::to_string(options.stored_size)}}}));
    fmt::print("{}: ONNX model, float32\n", options.onnx.string());
#else
    throw Error{"--onnx: this program was built without ONNX; install libonnx-dev and configure the build again"};
#endif
}

void run(const Options& options) {
    if (!std::filesystem::exists(options.weights))
        throw Error{options.weights.string() + ": no such file; train first, or name one with --weights"};
    SafetensorsFile file = SafetensorsFile::open(options.weights);
    std::vector<float> parameters(static_cast<std::size_t>(trainable_parameters<Net>));
    std::vector<float> statistics(static_cast<std::size_t>(non_trainable_parameters<Net>));
    read_network<Net>(file, parameters, statistics);
    const auto float32 = deploy::prepare_float32<Net>(parameters, statistics);

    const HomeworkFolders folders = open_homework(options.data, BANTAM_CLASSES);
    refuse_input_as_output(options.output, options.data, folders, options.weights);
    if (!options.onnx.empty()) {
        refuse_input_as_output(options.onnx, options.data, folders, options.weights);
        if (options.onnx.lexically_normal() == options.output.lexically_normal())
            throw Error{options.onnx.string() + ": is the name of --output, too; choose another for --onnx"};
    }
    if (!options.onnx.empty()) write_onnx(options, parameters, statistics, folders.classes);
    const PictureOptions reading{.stored_size = options.stored_size, .threads = processor_count()};
    const LabeledPictures validation = load_with_report(options.data, folders.validation, reading, "validation");
    const PictureBytes judged{validation, static_cast<Index>(validation.store.size())};
    fmt::print("float32: validation accuracy {:.4f} of {} pictures\n", accuracy(*float32, judged), judged.count());
    if (options.precision == "float32") return write_header(options, *float32, folders.classes);

    const LabeledPictures training = load_with_report(options.data, folders.training, reading, "labeled");
    const PictureBytes seen{training, options.calibration_pictures};
    deploy::Calibration<Net> calibration{*float32};
    seen.for_each([&](const std::uint8_t* bytes, int) { calibration.add(bytes); });
    const auto int8 = deploy::prepare_int8<Net>(parameters, statistics, calibration, {}, options.kept);
    fmt::print("int8: validation accuracy {:.4f}, calibrated on {} training pictures\n", accuracy(*int8, judged),
               calibration.picture_count());
    write_header(options, *int8, folders.classes);
}

}  // namespace

int main(int argc, char** argv) {
    Options options;
    CommandLine line{"Writes a student of distill_food11 as a C++ header for a device"};
    line.option("--data", options.data, "Folder with training/ and validation/").required();
    line.option("--weights", options.weights, "Student to export");
    line.option("--output", options.output, "Header to write");
    line.option("--onnx", options.onnx, "Also writes the student as an ONNX model in float32 to this file");
    line.option("--precision", options.precision, "Numbers of the device").one_of({"int8", "float32"});
    line.option("--stored-size", options.stored_size, "Side of the pictures in memory, as in training")
        .between(8, 4096);
    line.option("--calibration-pictures", options.calibration_pictures, "Training pictures that int8 is scaled by")
        .between(1, 1'000'000);
    line.option("--kept", options.kept, "Share of a map's elements that its int8 scale holds, above 0.5");
    return line.run(argc, argv, [&] { run(options); });
}
