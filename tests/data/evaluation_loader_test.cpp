// SPDX-License-Identifier: MIT
#define BOOST_TEST_MODULE evaluation_loader
#include <bantam/data/evaluation_loader.hpp>

#include "data/loaded_pictures.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cstddef>
#include <type_traits>
#include <vector>

namespace {

using namespace bantam_test;
using bantam::Batch;
using bantam::EvaluationLoader;
using bantam::Index;
using bantam::InferenceLoader;

// Testing pictures cannot be evaluated, and have no teacher's logits.
static_assert(!std::is_constructible_v<EvaluationLoader, const bantam::TestPictures&, bantam::Shape, Index>);
static_assert(!std::is_constructible_v<EvaluationLoader, const InferenceLoader&>);
static_assert(!std::is_constructible_v<InferenceLoader, const bantam::TestPictures&, bantam::Shape, Index,
                                       bantam::Normalization, bantam::TeacherRows>);

BOOST_AUTO_TEST_CASE(evaluation_goes_through_whole_pictures_in_order) {
    const LoadedPictures pictures{7, 3};
    const EvaluationLoader loader{pictures.labeled, {8, 10, 3}, 3, {}, {&pictures.teacher, 0}};
    BOOST_TEST(loader.batch_count() == 3);
    std::vector<int> labels;
    for (Index index = 0; index < 3; ++index) {
        Batch batch;
        loader.assemble(index, batch);
        for (std::size_t slot = 0; slot < std::size_t(batch.count); ++slot) {
            BOOST_TEST(batch.teacher_logits[slot * 3] == float(labels.size() + slot));
            BOOST_TEST(batch.teacher_logits[slot * 3 + 1] == 0.0F);
        }
        std::vector<float> expected(240);
        bantam::cut_view(pictures.labeled.store.pixels(labels.size()), LoadedPictures::stored_size,
                         bantam::whole_view(), {8, 10, 3}, expected.data(),
                         compose(bantam::byte_colors(), bantam::normalize({})));
        BOOST_TEST(std::equal(expected.begin(), expected.end(), batch.pixels.begin()));
        labels.insert(labels.end(), batch.labels.begin(), batch.labels.end());
    }
    BOOST_TEST(labels == (std::vector<int>{0, 1, 2, 3, 4, 5, 6}));
    const InferenceLoader testing{pictures.testing, {8, 10, 3}, 8};
    Batch batch;
    testing.assemble(0, batch);
    BOOST_TEST(batch.count == 3);
    BOOST_TEST(batch.labels == (std::vector<int>{-1, -1, -1}));
    BOOST_TEST(batch.teacher_logits.empty());
}

BOOST_AUTO_TEST_CASE(a_view_is_shown_of_every_picture) {
    const LoadedPictures pictures{2, 1};
    const bantam::View view{.top = 0.25F, .left = 0.125F, .height = 0.5F, .width = 0.75F, .flipped = true};
    const EvaluationLoader loader{pictures.labeled, {8, 10, 3}, 2};
    Batch batch;
    loader.showing(view).assemble(0, batch);
    std::vector<float> expected(480);
    for (std::size_t sample = 0; sample < 2; ++sample)
        bantam::cut_view(pictures.labeled.store.pixels(sample), LoadedPictures::stored_size, view, {8, 10, 3},
                         expected.data() + 240 * sample, compose(bantam::byte_colors(), bantam::normalize({})));
    BOOST_TEST(batch.pixels == expected, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(logits_of_too_few_images_are_refused) {
    const LoadedPictures pictures{5, 1};
    const auto load = [&](Index first_row) {
        EvaluationLoader{pictures.labeled, {8, 10, 3}, 3, {}, {&pictures.teacher, first_row}};
    };
    load(1);
    BOOST_TEST(message_of<bantam::Error>([&] { load(2); }) ==
               "the teacher logits have 6 images, the pictures need 7; check the logits file against the data");
    BOOST_TEST(contains(message_of<bantam::Error>([&] { load(-1); }), "the teacher logits have 6 images"));
}

}  // namespace
