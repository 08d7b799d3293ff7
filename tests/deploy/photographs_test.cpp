// SPDX-License-Identifier: MIT
// What int8 costs the kept student on photographs: the figures of docs/deploying.md.
#define BOOST_TEST_MODULE deploy_photographs
#include <boost/test/unit_test.hpp>

#include <bantam/data/evaluation_loader.hpp>
#include <bantam/data/folders.hpp>
#include <bantam/data/picture_store.hpp>
#include <bantam/deploy/calibration.hpp>
#include <bantam/deploy/classifier.hpp>
#include <bantam/deploy/prepare.hpp>
#include <bantam/io/checkpoint.hpp>
#include <bantam/models/mobile.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <vector>

using namespace bantam;
namespace fs = std::filesystem;

namespace {

using Net = Mobile98k<10>;

fs::path photos() {
    const char* folder = std::getenv("BANTAM_DATA");
    return (folder ? fs::path{folder} : fs::path{BANTAM_SOURCE_DIR} / "../shared/data") / "imagenette-hw13";
}

boost::test_tools::assertion_result photos_are_there(boost::unit_test::test_unit_id) {
    boost::test_tools::assertion_result there{fs::is_directory(photos())};
    there.message() << photos() << " is absent; set BANTAM_DATA to the folder that holds imagenette-hw13";
    return there;
}

/// Calls `body(bytes, label)` for every `step`-th picture.
template <class Body>
void for_each_picture(const LabeledPictures& pictures, Index step, Body&& body) {
    const EvaluationLoader loader{pictures, input_shape<Net>, 1, Normalization{{0, 0, 0}, {1, 1, 1}}};
    Batch batch;
    std::vector<std::uint8_t> bytes(static_cast<std::size_t>(element_count(input_shape<Net>)));
    for (Index i = 0; i < loader.sample_count(); i += step) {
        loader.assemble(i, batch);
        std::transform(
            batch.pixels.begin(), batch.pixels.begin() + static_cast<std::ptrdiff_t>(bytes.size()), bytes.begin(),
            [](float color) { return static_cast<std::uint8_t>(std::lround(std::clamp(color, 0.0F, 1.0F) * 255)); });
        body(bytes.data(), batch.labels[0]);
    }
}

template <class P>
double accuracy(const deploy::Weights<Net, P>& weights, const LabeledPictures& pictures) {
    const auto classifier = std::make_unique<deploy::Classifier<Net, P>>(weights);
    double right = 0, count = 0;
    for_each_picture(pictures, 1, [&](const std::uint8_t* bytes, int label) {
        right += classifier->classify(bytes) == label;
        ++count;
    });
    return right / count;
}

}  // namespace

BOOST_AUTO_TEST_CASE(int8_loses_at_most_half_a_point, *boost::unit_test::precondition(photos_are_there)) {
    SafetensorsFile file = SafetensorsFile::open(fs::path{BANTAM_SOURCE_DIR} / "examples/student.safetensors");
    std::vector<float> parameters(static_cast<std::size_t>(trainable_parameters<Net>));
    std::vector<float> statistics(static_cast<std::size_t>(non_trainable_parameters<Net>));
    read_network<Net>(file, parameters, statistics);

    const HomeworkFolders folders = scan_homework(photos(), 10);
    const LabeledPictures validation = load_pictures(photos(), folders.validation, PictureOptions{});
    const LabeledPictures training = load_pictures(photos(), folders.training, PictureOptions{});
    const auto float32 = deploy::prepare_float32<Net>(parameters, statistics);
    deploy::Calibration<Net> calibration{*float32};
    for_each_picture(training, 10, [&](const std::uint8_t* bytes, int) { calibration.add(bytes); });
    const auto int8 = deploy::prepare_int8<Net>(parameters, statistics, calibration);

    const double expected = accuracy(*float32, validation);
    const double found = accuracy(*int8, validation);
    BOOST_TEST_MESSAGE("float32 " << expected << ", int8 " << found);
    BOOST_TEST(expected >= 0.83);
    BOOST_TEST(found >= expected - 0.005);
}
