// SPDX-License-Identifier: MIT
#define BOOST_TEST_MODULE training_loader
#include <bantam/data/training_loader.hpp>

#include "data/loaded_pictures.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace bantam_test;
using bantam::Batch;
using bantam::Index;
using bantam::LoaderOptions;
using bantam::TrainingLoader;

constexpr int stored_size = LoadedPictures::stored_size;

LoaderOptions small_options(Index batch_size) {
    LoaderOptions options;
    options.input = {8, 10, 3};
    options.batch_size = batch_size;
    options.seed = 77;
    return options;
}

std::vector<Batch> all_batches(const TrainingLoader& loader, Index epoch) {
    std::vector<Batch> batches;
    const auto order = loader.epoch_order(epoch);
    for (Index index = 0; index < loader.batch_count(); ++index)
        loader.assemble(epoch, order, index, batches.emplace_back());
    return batches;
}

BOOST_AUTO_TEST_CASE(an_epoch_holds_every_sample_once_in_nearly_equal_batches) {
    const LoadedPictures pictures{23, 0};
    for (const Index batch_size : {1, 2, 3, 5, 11, 22, 23, 100}) {
        TrainingLoader loader{small_options(batch_size)};
        loader.add(pictures.labeled);
        std::multiset<int> labels;
        Index smallest = 1000;
        Index largest = 0;
        for (const Batch& batch : all_batches(loader, 0)) {
            labels.insert(batch.labels.begin(), batch.labels.end());
            smallest = std::min(smallest, batch.count);
            largest = std::max(largest, batch.count);
            BOOST_TEST(batch.pixels.size() == std::size_t(batch.count * 8 * 10 * 3));
            BOOST_TEST(batch.has_teacher == std::vector<std::uint8_t>(std::size_t(batch.count), 0));
        }
        BOOST_TEST(std::set<int>(labels.begin(), labels.end()).size() == 23U);
        BOOST_TEST(labels.size() == 23U);
        BOOST_TEST(largest - smallest <= 1);
        BOOST_TEST(largest == loader.largest_batch());
        BOOST_TEST(largest <= std::max<Index>(batch_size, batch_size == 2 ? 3 : 0));
        if (batch_size > 1) BOOST_TEST(smallest >= 2);
    }
}

BOOST_AUTO_TEST_CASE(a_rank_is_given_the_pixels_of_its_samples_and_the_targets_of_all) {
    const LoadedPictures pictures{23, 0};
    TrainingLoader whole{small_options(9)};
    whole.add(pictures.labeled);
    const std::vector<Batch> expected = all_batches(whole, 1);
    std::vector<std::vector<float>> of_all_ranks(expected.size());
    for (int index = 0; index < 3; ++index) {
        LoaderOptions options = small_options(9);
        options.rank = {index, 3};
        TrainingLoader loader{options};
        loader.add(pictures.labeled);
        const std::vector<Batch> batches = all_batches(loader, 1);
        for (std::size_t i = 0; i < batches.size(); ++i) {
            BOOST_TEST(batches[i].count == expected[i].count);
            BOOST_TEST(batches[i].labels == expected[i].labels, boost::test_tools::per_element());
            BOOST_TEST(batches[i].pixels.size() < expected[i].pixels.size() / 2);
            of_all_ranks[i].insert(of_all_ranks[i].end(), batches[i].pixels.begin(), batches[i].pixels.end());
        }
    }
    for (std::size_t i = 0; i < expected.size(); ++i) BOOST_TEST((of_all_ranks[i] == expected[i].pixels));

    bantam::OnlineTeacher teacher{{8, 10, 3}, 3, [](const float*, Index, float*) {}};
    LoaderOptions taught = small_options(9);
    taught.rank = {1, 3};
    taught.online_teacher = &teacher;
    BOOST_CHECK_THROW(TrainingLoader{taught}, bantam::Error);
}

BOOST_AUTO_TEST_CASE(an_online_teacher_answers_what_the_samples_show) {
    const LoadedPictures pictures{5, 4};
    // Its logits are the first and the last pixel of what it sees, and how much that is.
    bantam::OnlineTeacher teacher{{8, 10, 3}, 3, [&](const float* pixels, Index count, float* logits) {
                                      const Index size = element_count(teacher.input);
                                      for (; count > 0; --count, pixels += size, logits += 3) {
                                          logits[0] = pixels[0];
                                          logits[1] = pixels[size - 1];
                                          logits[2] = static_cast<float>(size);
                                      }
                                  }};
    LoaderOptions options = small_options(4);
    options.online_teacher = &teacher;
    TrainingLoader loader{options};
    loader.add(pictures.labeled);
    loader.add(pictures.unlabeled);
    std::set<float> first_pixels;
    for (const Index epoch : {0, 1})
        for (const Batch& batch : all_batches(loader, epoch)) {
            BOOST_TEST(batch.has_teacher == std::vector<std::uint8_t>(std::size_t(batch.count), 1));
            for (std::size_t slot = 0; slot < std::size_t(batch.count); ++slot) {
                BOOST_TEST(batch.teacher_logits[3 * slot] == batch.pixels[240 * slot]);
                BOOST_TEST(batch.teacher_logits[3 * slot + 1] == batch.pixels[240 * slot + 239]);
                first_pixels.insert(batch.pixels[240 * slot]);
            }
        }
    BOOST_TEST(first_pixels.size() == 18U);  // fresh views in every epoch

    // A larger input sees the same view: corner pixels of a smooth picture are near each other.
    const std::vector<Batch> small = all_batches(loader, 3);
    teacher.input = {16, 20, 3};
    const std::vector<Batch> large = all_batches(loader, 3);
    for (std::size_t index = 0; index < small.size(); ++index) {
        BOOST_TEST(small[index].pixels == large[index].pixels);
        for (std::size_t slot = 0; slot < std::size_t(small[index].count); ++slot) {
            BOOST_TEST(large[index].teacher_logits[3 * slot + 2] == 960.0F);
            BOOST_TEST(std::abs(large[index].teacher_logits[3 * slot] - small[index].teacher_logits[3 * slot]) < 0.5F);
        }
    }

    BOOST_CHECK_THROW(loader.add(pictures.labeled, {&pictures.teacher}), bantam::Error);
}

BOOST_AUTO_TEST_CASE(a_single_sample_makes_a_single_batch) {
    const LoadedPictures pictures{1, 0};
    TrainingLoader loader{small_options(8)};
    BOOST_TEST(loader.batch_count() == 0);
    loader.add(pictures.labeled);
    BOOST_TEST(all_batches(loader, 0).size() == 1U);
}

BOOST_AUTO_TEST_CASE(epochs_differ_and_the_same_epoch_repeats_to_the_bit) {
    const LoadedPictures pictures{30, 0};
    TrainingLoader loader{small_options(30)};
    loader.add(pictures.labeled);
    const Batch first = all_batches(loader, 0)[0];
    const Batch again = all_batches(loader, 0)[0];
    const Batch next = all_batches(loader, 1)[0];
    BOOST_TEST(first.labels == again.labels);
    BOOST_TEST(first.pixels == again.pixels);
    BOOST_TEST(first.labels != next.labels);
    LoaderOptions other = small_options(30);
    other.seed = 78;
    TrainingLoader reseeded{other};
    reseeded.add(pictures.labeled);
    BOOST_TEST(all_batches(reseeded, 0)[0].labels != first.labels);
    BOOST_TEST(all_batches(reseeded, 0)[0].pixels != first.pixels);
}

BOOST_AUTO_TEST_CASE(a_sample_does_not_depend_on_the_batch_it_is_in) {
    const LoadedPictures pictures{12, 0};
    TrainingLoader large{small_options(12)};
    TrainingLoader small{small_options(5)};
    large.add(pictures.labeled);
    small.add(pictures.labeled);
    std::vector<float> pixels;
    for (const Batch& batch : all_batches(small, 3))
        pixels.insert(pixels.end(), batch.pixels.begin(), batch.pixels.end());
    BOOST_TEST(pixels == all_batches(large, 3)[0].pixels);
}

BOOST_AUTO_TEST_CASE(the_student_sees_the_view_whose_logits_it_is_given) {
    const LoadedPictures pictures{10, 15};
    TrainingLoader loader{small_options(25)};
    loader.add(pictures.labeled, {&pictures.teacher, 0});
    loader.add(pictures.unlabeled, {&pictures.teacher, 10});
    const auto plain = compose(bantam::byte_colors(), bantam::normalize({}));
    std::set<std::pair<int, int>> seen;
    for (Index epoch = 0; epoch < 12; ++epoch) {
        const Batch batch = all_batches(loader, epoch)[0];
        for (std::size_t slot = 0; slot < 25; ++slot) {
            BOOST_REQUIRE(batch.has_teacher[slot] == 1);
            const int image = int(batch.teacher_logits[slot * 3]);
            const int view = int(batch.teacher_logits[slot * 3 + 1]);
            BOOST_REQUIRE(batch.labels[slot] == (image < 10 ? image : -1));
            const auto* stored = image < 10 ? pictures.labeled.store.pixels(std::size_t(image))
                                            : pictures.unlabeled.store.pixels(std::size_t(image - 10));
            std::vector<float> expected(8 * 10 * 3);
            bantam::cut_view(stored, stored_size, pictures.teacher.stored_view(image * 4 + view).view, {8, 10, 3},
                             expected.data(), plain);
            const auto begin = batch.pixels.begin() + std::ptrdiff_t(slot * 240);
            BOOST_REQUIRE(std::equal(expected.begin(), expected.end(), begin));
            seen.insert({image, view});
        }
    }
    // Nearly all of the 100 pairs occur in 300 draws.
    BOOST_TEST(seen.size() > 85U);
}

BOOST_AUTO_TEST_CASE(alternating_flips_show_each_picture_both_ways_in_two_epochs) {
    const LoadedPictures pictures{40, 0};
    LoaderOptions options = small_options(40);
    TrainingLoader random{options};
    options.alternating_flip = true;
    TrainingLoader alternating{options}, taught{options};
    random.add(pictures.labeled);
    alternating.add(pictures.labeled);
    taught.add(pictures.labeled, {&pictures.teacher, 0});
    Index flipped_first = 0, repeated = 0;
    for (Index sample = 0; sample < 40; ++sample) {
        flipped_first += alternating.plan(0, sample).view.flipped;
        repeated += random.plan(0, sample).view.flipped == random.plan(1, sample).view.flipped;
        for (Index epoch = 0; epoch < 5; ++epoch) {
            bantam::View view = alternating.plan(epoch, sample).view;
            BOOST_TEST(view.flipped != alternating.plan(epoch + 1, sample).view.flipped);
            // Nothing else changes.
            const bantam::SamplePlan other = random.plan(epoch, sample);
            view.flipped = other.view.flipped;
            BOOST_TEST((view == other.view));
            BOOST_TEST((alternating.plan(epoch, sample).colors.matrix == other.colors.matrix));
            // A teacher's view has the flip that the teacher saw.
            const bantam::SamplePlan plan = taught.plan(epoch, sample);
            BOOST_TEST((plan.view == pictures.teacher.stored_view(plan.teacher_view).view));
        }
    }
    BOOST_TEST((flipped_first > 8 && flipped_first < 32));
    BOOST_TEST((repeated > 8 && repeated < 32));
}

BOOST_AUTO_TEST_CASE(color_jitter_reaches_teacher_views_only_when_asked_for) {
    const LoadedPictures pictures{6, 0};
    const auto pixels_with = [&](bool enabled, bool on_teacher_views, bool with_teacher) {
        LoaderOptions options = small_options(6);
        if (!enabled) options.color = {};
        options.color_on_teacher_views = on_teacher_views;
        TrainingLoader loader{options};
        loader.add(pictures.labeled, with_teacher ? bantam::TeacherRows{&pictures.teacher, 0} : bantam::TeacherRows{});
        return all_batches(loader, 0)[0].pixels;
    };
    BOOST_TEST(pixels_with(true, false, true) == pixels_with(false, false, true));
    BOOST_TEST(pixels_with(true, true, true) != pixels_with(false, false, true));
    BOOST_TEST(pixels_with(true, false, false) != pixels_with(false, false, false));
}

BOOST_AUTO_TEST_CASE(the_student_sees_the_stored_colors_and_mixes) {
    LoadedPictures pictures{4, 5};
    mix_last_view(pictures.teacher);
    TrainingLoader loader{small_options(9)};
    loader.add(pictures.labeled, {&pictures.teacher, 0});
    loader.add(pictures.unlabeled, {&pictures.teacher, 4});
    const auto colors_of = [](const bantam::ColorFactors& factors) {
        return compose(compose(bantam::byte_colors(), change_colors(factors)), bantam::normalize({}));
    };
    const auto stored = [&](Index image) {
        return image < 4 ? pictures.labeled.store.pixels(std::size_t(image))
                         : pictures.unlabeled.store.pixels(std::size_t(image - 4));
    };
    const bantam::Shape shape{8, 10, 3};
    int blended = 0, pasted = 0;
    for (Index epoch = 0; epoch < 12; ++epoch) {
        const Batch batch = all_batches(loader, epoch)[0];
        for (std::size_t slot = 0; slot < 9; ++slot) {
            const auto image = Index(batch.teacher_logits[slot * 3]);
            const auto view = Index(batch.teacher_logits[slot * 3 + 1]);
            const bantam::StoredView shown = pictures.teacher.stored_view(image * 4 + view);
            BOOST_REQUIRE((view == 0 || shown.color.brightness != 1));
            std::vector<float> expected(240), second(240);
            bantam::cut_view(stored(image), stored_size, shown.view, shape, expected.data(), colors_of(shown.color));
            BOOST_REQUIRE(batch.mixed[slot] == (view == 3));
            if (view < 3) {
                BOOST_REQUIRE(batch.labels[slot] == (image < 4 ? image : -1));
            } else {
                BOOST_REQUIRE(batch.labels[slot] == -1);
                const bantam::StoredMix mixed = pictures.teacher.stored_mix(image * 4 + 3);
                BOOST_REQUIRE(mixed.image == (image + 2) % 9);
                bantam::cut_view(stored(mixed.image), stored_size, mixed.second.view, shape, second.data(),
                                 colors_of(mixed.second.color));
                const auto& [weight, top, left, height, width] = mixed.mix;
                (weight == 1 ? pasted : blended) += 1;
                for (std::size_t value = 0; value < 240; ++value) {
                    const float y = (float(value / 30) + 0.5F) / 8, x = (float(value / 3 % 10) + 0.5F) / 10;
                    if (y >= top && y < top + height && x >= left && x < left + width)
                        expected[value] = (1 - weight) * expected[value] + weight * second[value];
                }
            }
            for (std::size_t value = 0; value < 240; ++value)
                BOOST_REQUIRE(std::abs(batch.pixels[slot * 240 + value] - expected[value]) <= 1e-6F);
        }
    }
    BOOST_TEST(blended > 0);
    BOOST_TEST(pasted > 0);
}

BOOST_AUTO_TEST_CASE(a_mix_with_a_picture_that_is_no_sample_is_refused) {
    LoadedPictures pictures{4, 1};
    mix_last_view(pictures.teacher);
    TrainingLoader loader{small_options(4)};
    loader.add(pictures.labeled, {&pictures.teacher, 0});
    const std::string message = message_of<bantam::Error>([&] {
        for (Index epoch = 0; epoch < 20; ++epoch) loader.plan(epoch, 2);
    });
    BOOST_TEST(contains(message, "mixed views show image 4 (1004.png), which is not among the training pictures"));
}

BOOST_AUTO_TEST_CASE(drawn_mixes_are_of_both_kinds_and_within_the_picture) {
    bantam::Random random{3, 4};
    int pasted = 0;
    double weights = 0, areas = 0;
    for (int round = 0; round < 4000; ++round) {
        const bantam::Mix mix = bantam::random_mix(random);
        for (const float value : values_of(bantam::StoredView{}, mix))
            BOOST_REQUIRE(float{bantam::Float16{value}} == value);
        BOOST_REQUIRE((mix.top >= 0 && mix.left >= 0 && mix.top + mix.height <= 1 && mix.left + mix.width <= 1));
        BOOST_REQUIRE((mix.weight > 0 && mix.height > 0 && mix.width > 0));
        if (mix.weight == 1) {
            ++pasted;
            areas += double(mix.height) * double(mix.width);
        } else {
            BOOST_REQUIRE((mix == bantam::Mix{.weight = mix.weight}));
            weights += double(mix.weight);
        }
    }
    BOOST_TEST(std::abs(pasted - 2000) < 150);
    BOOST_TEST(std::abs(areas / pasted - 0.5) < 0.03);
    BOOST_TEST(std::abs(weights / (4000 - pasted) - 0.5) < 0.03);
}

BOOST_AUTO_TEST_CASE(stored_views_are_halves_within_the_picture) {
    bantam::Random random{3, 5};
    bantam::StoredViewOptions options;
    options.box.min_area = 0.05F;
    options.color = {0.9F, 0.9F, 0.9F};
    std::set<float> tops;
    for (int round = 0; round < 4000; ++round) {
        const bantam::StoredView stored = bantam::random_stored_view(random, options);
        for (const float value : values_of(stored)) BOOST_REQUIRE(float{bantam::Float16{value}} == value);
        const bantam::View& view = stored.view;
        BOOST_REQUIRE((view.top >= 0 && view.left >= 0 && view.top + view.height <= 1 && view.left + view.width <= 1));
        BOOST_REQUIRE((bantam::stored_view_of(values_of(stored)) == stored));
        tops.insert(view.top);
    }
    BOOST_TEST(tops.size() > 1000U);
    bantam::Random first{3, 6}, again{3, 6};
    const bantam::StoredView rounded = bantam::random_stored_view(first, options);
    const bantam::View exact = bantam::random_view(again, options.box);
    BOOST_TEST(std::abs(rounded.view.height - exact.height) <= 0.5F / 2048);
    BOOST_TEST(rounded.view.flipped == exact.flipped);
}

BOOST_AUTO_TEST_CASE(samples_without_a_teacher_carry_zeros_beside_those_with_one) {
    const LoadedPictures pictures{4, 4};
    TrainingLoader loader{small_options(8)};
    loader.add(pictures.labeled);
    loader.add(pictures.unlabeled, {&pictures.teacher, 4});
    const Batch batch = all_batches(loader, 0)[0];
    BOOST_REQUIRE(batch.teacher_logits.size() == 24U);
    for (std::size_t slot = 0; slot < 8; ++slot) {
        BOOST_TEST((batch.has_teacher[slot] == 1) == (batch.labels[slot] == -1));
        BOOST_TEST(batch.teacher_logits[slot * 3 + 2] == (batch.has_teacher[slot] ? 0.5F : 0.0F));
    }
}

BOOST_AUTO_TEST_CASE(mismatched_pictures_and_logits_are_refused) {
    const LoadedPictures pictures{5, 5};
    LoaderOptions gray = small_options(4);
    gray.input.channels = 1;
    BOOST_TEST(message_of<bantam::Error>([&] { TrainingLoader{gray}; }) ==
               "pictures have 3 channels, the network's image has 8x10x1; use Image<height, width, 3>");
    BOOST_TEST(message_of<bantam::Error>([&] { TrainingLoader{small_options(0)}; }) ==
               "batch size is 0, expected at least 1; choose another batch size");
    TrainingLoader loader{small_options(4)};
    BOOST_TEST(contains(message_of<bantam::Error>([&] { loader.add(pictures.labeled, {&pictures.teacher, 6}); }),
                        "the teacher logits have 10 images, the pictures need 11"));
    loader.add(pictures.labeled, {&pictures.teacher, 0});
    const bantam::TeacherLogits second = pictures.teacher;
    BOOST_TEST(contains(message_of<bantam::Error>([&] { loader.add(pictures.unlabeled, {&second, 5}); }),
                        "logits of two teachers"));
}

// Testing pictures can be predicted but not trained on.
template <class Set>
constexpr bool can_train_on = requires(TrainingLoader& loader, const Set& set) { loader.add(set); };
static_assert(can_train_on<bantam::LabeledPictures>);
static_assert(can_train_on<bantam::UnlabeledPictures>);
static_assert(!can_train_on<bantam::TestPictures>);

}  // namespace
