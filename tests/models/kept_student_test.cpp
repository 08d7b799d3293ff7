// SPDX-License-Identifier: MIT
// The student that examples/ keeps: what docs/ says of it can be measured again.
#define BOOST_TEST_MODULE kept_student
#include <boost/test/unit_test.hpp>

#include "bantam/bantam.hpp"
#include "bantam/cpu/trainer.hpp"
#include "bantam/data/evaluation_loader.hpp"
#include "bantam/data/folders.hpp"
#include "bantam/data/picture_store.hpp"
#include "bantam/io/checkpoint.hpp"
#include "bantam/models/mobile.hpp"
#include "bantam/train/fit.hpp"

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

using namespace bantam;
namespace fs = std::filesystem;

namespace {

using KeptStudent = Student<Mobile98k<10>>;

const fs::path student = fs::path{BANTAM_SOURCE_DIR} / "examples/student.safetensors";

fs::path photos() {
    const char* folder = std::getenv("BANTAM_DATA");
    return (folder ? fs::path{folder} : fs::path{BANTAM_SOURCE_DIR} / "../shared/data") / "imagenette-hw13";
}

boost::test_tools::assertion_result student_is_there(boost::unit_test::test_unit_id) {
    boost::test_tools::assertion_result there{fs::exists(student)};
    there.message() << student << " is not there";
    return there;
}

boost::test_tools::assertion_result photos_are_there(boost::unit_test::test_unit_id) {
    boost::test_tools::assertion_result there{fs::is_directory(photos())};
    there.message() << photos() << " is absent; set BANTAM_DATA to the folder that holds imagenette-hw13";
    return there;
}

}  // namespace

BOOST_AUTO_TEST_CASE(the_kept_student_scores_what_was_promised, *boost::unit_test::precondition(student_is_there) *
                                                                    boost::unit_test::precondition(photos_are_there)) {
    BOOST_TEST(fs::file_size(student) < 400U * 1024U);
    SafetensorsFile file = SafetensorsFile::open(student);
    BOOST_TEST(file.metadata("format") == checkpoint_format);
    std::vector<float> parameters(static_cast<std::size_t>(trainable_parameters<KeptStudent>));
    std::vector<float> statistics(static_cast<std::size_t>(non_trainable_parameters<KeptStudent>));
    read_network<KeptStudent>(file, parameters, statistics);
    Trainer<KeptStudent> trainer{TrainingOptions{}};
    trainer.set_weights(parameters, statistics);

    const HomeworkFolders folders = scan_homework(photos(), 10);
    const LabeledPictures validation = load_pictures(photos(), folders.validation, PictureOptions{});
    const EvaluationLoader loader{validation, input_shape<KeptStudent>, 64};
    BOOST_TEST(*evaluate(trainer, loader).accuracy >= 0.78);
}
