// SPDX-License-Identifier: MIT
// The code that README.md and docs/training.md show trains networks on drawn pictures.
#define BOOST_TEST_MODULE docs_training
#include <boost/test/unit_test.hpp>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <span>
#include <thread>
#include <utility>
#include <vector>

// In the order in which the pages show them; later ones use earlier names.
#include "docs/training/first_network.hpp"
// ---
#include "docs/training/augmentation.hpp"
#include "docs/training/distillation.hpp"
#include "docs/training/evaluation.hpp"
#include "docs/training/history.hpp"
#include "docs/training/own_loop.hpp"
#include "docs/training/regression.hpp"
#include "docs/training/threads.hpp"
// ---
#include "docs/training/own_loss.hpp"

#include "io/temporary_folder.hpp"

#include <bantam/base/random.hpp>

namespace {

struct Drawn {
    std::vector<std::uint8_t> pixels;
    std::vector<int> labels;
    std::vector<float> targets;  // where the bars lie, -1..1; 0 without one

    std::vector<float> floats() const {
        std::vector<float> values;
        for (const std::uint8_t byte : pixels) values.push_back(static_cast<float>(byte) / 255.0F);
        return values;
    }
};

/// A horizontal bar (0), a vertical bar (1) or both (2) on noise.
Drawn draw(int count, std::uint64_t seed) {
    Drawn drawn;
    bantam::Random random{seed, 1};
    for (int picture = 0; picture < count; ++picture) {
        const int label = picture % 3;
        const auto row = static_cast<int>(random.below(14)) + 1, column = static_cast<int>(random.below(14)) + 1;
        drawn.labels.push_back(label);
        drawn.targets.push_back(label != 1 ? static_cast<float>(row) / 7.5F - 1 : 0);
        drawn.targets.push_back(label != 0 ? static_cast<float>(column) / 7.5F - 1 : 0);
        for (int y = 0; y < 16; ++y)
            for (int x = 0; x < 16; ++x) {
                const bool inside = (label != 1 && y == row) || (label != 0 && x == column);
                drawn.pixels.push_back(static_cast<std::uint8_t>(random.below(100) + (inside ? 130 : 0)));
            }
    }
    return drawn;
}

double share_of_equals(const std::vector<int>& a, const std::vector<int>& b) {
    BOOST_REQUIRE(a.size() == b.size());
    double equal = 0;
    for (std::size_t i = 0; i < a.size(); ++i) equal += a[i] == b[i];
    return equal / static_cast<double>(a.size());
}

/// Runs in a folder of its own, since the first network writes a file.
struct InTemporaryFolder {
    InTemporaryFolder() { std::filesystem::current_path(folder.path()); }
    ~InTemporaryFolder() { std::filesystem::current_path(before); }
    std::filesystem::path before = std::filesystem::current_path();
    bantam_test::TemporaryFolder folder;
};

}  // namespace

BOOST_FIXTURE_TEST_CASE(the_first_network_learns_and_its_file_predicts, InTemporaryFolder) {
    const Drawn training = draw(480, 1), validation = draw(150, 2), testing = draw(150, 3);
    const bantam::ArrayData validating{validation.pixels, validation.labels};
    const std::vector<int> answers = train_and_predict(training.pixels, training.labels, validating, testing.pixels);
    BOOST_TEST(share_of_equals(answers, testing.labels) > 0.9);
    BOOST_TEST(std::filesystem::exists("student.safetensors"));

    bantam::Trainer<Student> trainer{{.epochs = 1}};
    bantam::load("student.safetensors", trainer);
    BOOST_TEST((bantam::predict(trainer, testing.pixels) == answers));
    const auto model = bantam::load<Student>("student.safetensors");
    BOOST_CHECK_THROW(bantam::save("empty.safetensors", bantam::cpu::Model<Student>{}), bantam::Error);
    BOOST_TEST(!std::filesystem::exists("empty.safetensors"));
    const auto all = predict_all(model, {testing.floats(), validation.floats(), testing.floats()});
    BOOST_TEST((all[0] == answers));
    BOOST_TEST((all[2] == answers));

    const bantam::Evaluation result = bantam::evaluate(trainer, validating);
    print(result);
    const bantam::ConfusionMatrix& confusion = result.confusion;
    double right = 0;
    for (bantam::Index c = 0; c < 3; ++c) {
        BOOST_TEST(confusion.labeled(c) == 50);
        right += static_cast<double>(confusion.count(c, c));
    }
    BOOST_TEST(*result.accuracy == right / 150, boost::test_tools::tolerance(1e-12));
}

BOOST_AUTO_TEST_CASE(training_stops_where_the_callback_says_and_can_go_on) {
    const Drawn drawn = draw(240, 1), validation = draw(90, 2);
    const bantam::ArrayData training{drawn.pixels, drawn.labels}, validating{validation.pixels, validation.labels};
    bantam::Trainer<Student> trainer{{.epochs = 30}};
    const auto begun = train_until(0.5, trainer, training, validating);
    BOOST_TEST_REQUIRE(!begun.empty());
    BOOST_TEST(begun.size() < 30U);
    BOOST_TEST(*begun.back().validation.accuracy >= 0.5);
    const auto rest = train_until(2.0, trainer, training, validating);
    BOOST_TEST(begun.size() + rest.size() == 30U);
    BOOST_TEST(rest.front().epoch == begun.back().epoch + 1);
}

BOOST_AUTO_TEST_CASE(unlabeled_pictures_are_learned_from_a_teacher) {
    const Drawn drawn = draw(240, 1), validation = draw(90, 2);
    const std::vector<float> pixels = drawn.floats();
    std::vector<float> teacher;
    std::vector<int> labels = drawn.labels;
    for (std::size_t i = 0; i < labels.size(); ++i) {
        for (int c = 0; c < 3; ++c) teacher.push_back(c == labels[i] ? 8.0F : 0.0F);
        if (i % 2) labels[i] = -1;
    }
    bantam::Trainer<Student> trainer{{.epochs = 20}};
    const bantam::ArrayData validating{validation.pixels, validation.labels};
    distill(pixels, labels, teacher, validating, trainer);
    BOOST_TEST(bantam::evaluate(trainer, validating).accuracy.value() > 0.9);
}

BOOST_AUTO_TEST_CASE(values_are_learned) {
    const Drawn training = draw(480, 1), testing = draw(60, 2);
    const std::vector<float> pixels = training.floats(), new_pixels = testing.floats();
    const std::vector<float> outputs = fit_values(pixels, training.targets, new_pixels);
    BOOST_REQUIRE(outputs.size() == testing.targets.size());
    double squares = 0, of_mean = 0;
    for (std::size_t i = 0; i < outputs.size(); ++i) {
        squares += std::pow(static_cast<double>(outputs[i] - testing.targets[i]), 2);
        of_mean += std::pow(static_cast<double>(testing.targets[i]), 2);
    }
    BOOST_TEST(squares < 0.3 * of_mean);

    HuberTrainer trainer{{.epochs = 5, .averaging_decay = 0}, {.delta = 0.5F}};
    const auto history =
        bantam::fit(trainer, bantam::ArrayData{pixels, training.targets}, bantam::ArrayData{pixels, training.targets});
    BOOST_TEST(*history.back().training.loss < 0.7 * *history.front().training.loss);
    BOOST_TEST(!history.back().training.accuracy);
}

BOOST_AUTO_TEST_CASE(a_loop_of_ones_own_trains) {
    const Drawn drawn = draw(96, 1);
    std::vector<bantam::Batch> batches;
    for (int i = 0; i < 3; ++i) {
        const Drawn part = draw(32, static_cast<std::uint64_t>(i));
        batches.push_back({.count = 32, .pixels = part.floats(), .labels = part.labels});
    }
    bantam::Trainer<Student> trainer{{.epochs = 20, .averaging_decay = 0}};
    const double first = train_one_epoch(trainer, batches);
    double last = first;
    for (int epoch = 1; epoch < 20; ++epoch) last = train_one_epoch(trainer, batches);
    BOOST_TEST(last < 0.5 * first);
}

BOOST_AUTO_TEST_CASE(pictures_in_memory_are_augmented) {
    using Net = bantam::Network<bantam::Image<16, 16, 3>, bantam::Conv2d<8, 3, 2>, bantam::BatchNorm2d, bantam::ReLU,
                                bantam::GlobalAveragePool, bantam::Linear<3>>;
    std::vector<std::uint8_t> pixels;
    std::vector<int> labels;
    std::vector<float> logits;
    bantam::Random random{3, 1};
    for (int picture = 0; picture < 48; ++picture) {
        labels.push_back(picture % 3);
        for (int i = 0; i < 32 * 32 * 3; ++i)
            pixels.push_back(static_cast<std::uint8_t>(random.below(120) + (i % 3 == picture % 3 ? 120 : 0)));
        for (int c = 0; c < 3; ++c) logits.push_back(c == picture % 3 ? 6.0F : 0.0F);
    }
    bantam::Trainer<Net> alone{{.epochs = 8}}, taught{{.epochs = 8}};
    const bantam::TeacherLogits teacher = bantam::teacher_logits_from_memory(logits, 3);
    fit_augmented(alone, pixels, labels);
    fit_augmented(taught, pixels, labels, &teacher);
    const bantam::LabeledPictures pictures{bantam::PictureStore::from_memory(pixels, 32, 32, {.stored_size = 16}),
                                           labels};
    for (auto* trainer : {&alone, &taught}) {
        const bantam::EvaluationLoader loader{pictures, Net::input, 16};
        BOOST_TEST(bantam::evaluate(*trainer, loader).accuracy.value() > 0.9);
    }
    BOOST_CHECK_THROW(fit_augmented(alone, pixels, {0, 1}), bantam::Error);
}
