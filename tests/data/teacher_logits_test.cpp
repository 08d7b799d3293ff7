// SPDX-License-Identifier: MIT
#define BOOST_TEST_MODULE data_teacher_logits
#include "bantam/data/teacher_logits.hpp"

#include "bantam/base/random.hpp"
#include "io/temporary_folder.hpp"

#include <boost/test/unit_test.hpp>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <utility>
#include <vector>

namespace {

using bantam::ExpectedPictures;
using bantam::Index;
using bantam::TeacherLogits;
using bantam_test::contains;
using bantam_test::contents_of;
using bantam_test::message_of;
using bantam_test::TemporaryFolder;

template <class T>
void append(std::vector<T>& to, const auto& values) {
    for (const float value : values) to.push_back(T{value});
}

bantam::StoredView second_view(int image) { return {{0.125F, 0.25F, 0.5F, 0.625F, image % 2 == 0}, {1.25F, 0.75F, 0}}; }

TeacherLogits sample_logits() {
    TeacherLogits teacher;
    teacher.paths = {"training/labeled/00/a.jpg", "training/unlabeled/00/b.jpg", "validation/01/ü.jpg"};
    teacher.hashes = {"0000000000000001", "0000000000000002", "0000000000000003"};
    teacher.classes = {"00", "01"};
    teacher.view_count = 2;
    std::vector<float> views, logits;
    for (int image = 0; image < 3; ++image) {
        append(views, values_of(bantam::StoredView{}));
        append(views, values_of(second_view(image)));
    }
    for (int value = 0; value < 12; ++value) logits.push_back(0.5F * float(value) - 2);
    teacher.views = std::move(views);
    teacher.logits = std::move(logits);
    teacher.teacher = "00000000000000aa";
    teacher.teacher_name = "teacher.safetensors";
    teacher.view_seed = std::numeric_limits<std::uint64_t>::max();
    teacher.preprocessing.input_height = 96;
    return teacher;
}

/// The same as halves, with the second view of each picture mixed.
TeacherLogits mixed_logits() {
    TeacherLogits teacher = sample_logits();
    std::vector<bantam::Float16> views, logits, mixes;
    append(views, teacher.views.floats());
    append(logits, teacher.logits.floats());
    teacher.mixed_count = 1;
    teacher.partners = {1, 2, 0};
    for (int image = 0; image < 3; ++image) {
        const bantam::Mix mix = image == 0 ? bantam::Mix{.weight = 0.375F} : bantam::Mix{1, 0.5F, 0.25F, 0.5F, 0.75F};
        append(mixes, values_of(second_view(image + 1), mix));
    }
    teacher.views = std::move(views);
    teacher.logits = std::move(logits);
    teacher.mixes = std::move(mixes);
    return teacher;
}

std::vector<float> floats(const bantam::FloatArray& array) {
    std::vector<float> values(array.size());
    array.copy(0, array.size(), values.data());
    return values;
}

/// `array` with `value` at `index`, as floats.
bantam::FloatArray with(const bantam::FloatArray& array, std::size_t index, float value) {
    std::vector<float> values = floats(array);
    values[index] = value;
    return values;
}

ExpectedPictures sample_pictures() {
    const TeacherLogits teacher = sample_logits();
    return {teacher.paths, teacher.hashes, teacher.classes, 144};
}

std::string mismatch(const std::function<void(ExpectedPictures&)>& change) {
    ExpectedPictures expected = sample_pictures();
    change(expected);
    return message_of<bantam::Error>([&] { bantam::check_teacher_logits(sample_logits(), "t.safetensors", expected); });
}

BOOST_AUTO_TEST_CASE(a_written_file_reads_back_unchanged) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "t.safetensors";
    const TeacherLogits teacher = sample_logits();
    bantam::write_teacher_logits(path, teacher);
    const TeacherLogits read = bantam::read_teacher_logits(path);
    BOOST_TEST(read.paths == teacher.paths);
    BOOST_TEST(read.hashes == teacher.hashes);
    BOOST_TEST(read.classes == teacher.classes);
    BOOST_TEST(floats(read.logits) == floats(teacher.logits));
    BOOST_TEST(floats(read.views) == floats(teacher.views));
    BOOST_TEST(read.view_seed == teacher.view_seed);
    BOOST_TEST(read.teacher == teacher.teacher);
    BOOST_TEST(read.teacher_name == teacher.teacher_name);
    BOOST_TEST(read.preprocessing.input_height == 96);
    BOOST_CHECK(read.preprocessing.normalization == teacher.preprocessing.normalization);
    BOOST_TEST(read.row_logits(5)[0] == teacher.logits[10]);
    BOOST_CHECK(read.stored_view(3) == second_view(1));
    BOOST_TEST(!read.is_mixed(3));
    bantam::check_teacher_logits(read, path, sample_pictures());
}

BOOST_AUTO_TEST_CASE(halves_and_mixed_views_read_back_unchanged) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "t.safetensors";
    TeacherLogits teacher = mixed_logits();
    teacher.view_ranges = "area 0.35 to 1";
    teacher.average_input = 160;
    bantam::write_teacher_logits(path, teacher);
    const TeacherLogits read = bantam::read_teacher_logits(path);
    BOOST_TEST(read.logits.halves().size() == 12U);
    BOOST_TEST(read.views.halves().size() == 48U);
    BOOST_TEST(read.mixes.halves().size() == 39U);
    BOOST_TEST(floats(read.logits) == floats(sample_logits().logits));
    BOOST_TEST(floats(read.views) == floats(sample_logits().views));
    BOOST_TEST(read.mixed_count == 1);
    BOOST_TEST(read.partners == teacher.partners);
    BOOST_TEST((!read.is_mixed(2) && read.is_mixed(3)));
    const bantam::StoredMix mixed = read.stored_mix(3);
    BOOST_TEST(mixed.image == 2);
    BOOST_TEST((mixed.second == second_view(2)));
    BOOST_TEST((mixed.mix == bantam::Mix{1, 0.5F, 0.25F, 0.5F, 0.75F}));
    BOOST_TEST(read.view_ranges == "area 0.35 to 1");
    BOOST_TEST(read.average_input == 160);
    bantam::check_teacher_logits(read, path, sample_pictures());
}

BOOST_AUTO_TEST_CASE(files_of_the_first_format_are_read) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "t.safetensors";
    TeacherLogits teacher = sample_logits();
    bantam::Metadata metadata = bantam::logits_metadata(teacher);
    metadata["format"] = "bantam-teacher-logits/1";
    std::vector<float> boxes;
    for (int row = 0; row < 6; ++row) {
        const auto values = values_of(teacher.stored_view(row));
        boxes.insert(boxes.end(), values.begin(), values.begin() + 5);
    }
    boxes[5] = 0.1F;  // no half
    const auto write = [&] {
        bantam::write_safetensors(path,
                                  {bantam::TensorView{"logits", {3, 2, 2}, teacher.logits.floats()},
                                   bantam::TensorView{"views", {3, 2, 5}, boxes}},
                                  metadata);
    };
    write();
    const TeacherLogits read = bantam::read_teacher_logits(path);
    BOOST_TEST(floats(read.logits) == floats(teacher.logits));
    BOOST_CHECK((read.stored_view(1) == bantam::StoredView{{0.1F, 0.25F, 0.5F, 0.625F, true}, {}}));
    BOOST_TEST(read.mixed_count == 0);
    bantam::check_teacher_logits(read, path, sample_pictures());
    boxes[9] = 0.5F;
    write();
    BOOST_TEST(contains(message_of<bantam::Error>([&] { bantam::read_teacher_logits(path); }),
                        "has a view whose flip is neither 0 nor 1"));
}

BOOST_AUTO_TEST_CASE(unsound_mixes_are_neither_written_nor_read) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "t.safetensors";
    const auto refusal = [&](const std::function<void(TeacherLogits&)>& change) {
        TeacherLogits teacher = mixed_logits();
        change(teacher);
        return message_of<bantam::Error>([&] { bantam::write_teacher_logits(path, teacher); });
    };
    const auto with_mix = [&](std::size_t index, float value) {
        return refusal([&](TeacherLogits& teacher) { teacher.mixes = with(teacher.mixes, index, value); });
    };
    const std::string place = ": image 0 (training/labeled/00/a.jpg), view 1";
    BOOST_TEST(contains(with_mix(8, 0), "is mixed by a weight that is not above 0 and at most 1" + place));
    BOOST_TEST(contains(with_mix(8, 1.5F), "is mixed by a weight"));
    BOOST_TEST(contains(with_mix(8, std::nanf("")), "is mixed by a weight"));
    BOOST_TEST(contains(with_mix(11, 1.5F), "is mixed in a box that is not within the picture" + place));
    BOOST_TEST(contains(with_mix(2, 0), "is mixed with a view that is not a box within the picture" + place));
    BOOST_TEST(contains(with_mix(5, -1), "is mixed with a view that has a change of color that is not from 0 to 10"));
    BOOST_TEST(contains(with_mix(4, 0.5F), "has a view whose flip is neither 0 nor 1"));
    const auto with_partner = [&](std::int32_t image) {
        return refusal([&](TeacherLogits& teacher) { teacher.partners[0] = image; });
    };
    BOOST_TEST(contains(with_partner(3), "is mixed with an image that the file lacks" + place));
    BOOST_TEST(contains(with_partner(-1), "is mixed with an image that the file lacks"));
    BOOST_TEST(contains(with_partner(0), "is mixed with its own image"));
    BOOST_TEST(contains(refusal([](TeacherLogits& teacher) { teacher.partners.pop_back(); }),
                        "has the wrong number of mixes"));
    BOOST_TEST(
        contains(refusal([](TeacherLogits& teacher) { teacher.mixed_count = 2; }), "has 2 mixed views among its 2"));

    bantam::write_teacher_logits(path, mixed_logits());
    auto file = bantam::SafetensorsFile::open(path);
    const auto logits = file.tensor<bantam::Float16>("logits"), views = file.tensor<bantam::Float16>("views");
    auto mixes = file.tensor<bantam::Float16>("mixes");
    const auto partners = file.tensor<std::int32_t>("partners");
    const auto written = [&](std::vector<Index> partner_shape, std::vector<Index> mix_shape) {
        bantam::write_safetensors(
            folder.path() / "odd",
            {bantam::TensorView{"logits", {3, 2, 2}, logits}, bantam::TensorView{"views", {3, 2, 8}, views},
             bantam::TensorView{"partners", std::move(partner_shape), partners},
             bantam::TensorView{"mixes", std::move(mix_shape), mixes}},
            file.metadata());
        return message_of<bantam::Error>([&] { bantam::read_teacher_logits(folder.path() / "odd"); });
    };
    BOOST_TEST(written({3, 1}, {3, 1, 13}) == "nothing was thrown");
    BOOST_TEST(contains(written({1, 3}, {3, 1, 13}), "tensor 'partners' has shape [1, 3], expected [3, 3]"));
    BOOST_TEST(contains(written({3}, {3, 1, 13}), "tensor 'partners' has shape [3], expected [3, 0]"));
    BOOST_TEST(contains(written({3, 1}, {39}), "tensor 'mixes' has shape [39], expected [3, 1, 13]"));
    mixes[8] = bantam::Float16{0.0F};
    BOOST_TEST(contains(written({3, 1}, {3, 1, 13}), "is mixed by a weight"));
}

BOOST_AUTO_TEST_CASE(the_first_mismatch_with_the_pictures_is_named) {
    const std::string start = "t.safetensors: does not match the pictures: ";
    const std::string end = "; create it again with precompute_logits";
    BOOST_TEST(mismatch([](ExpectedPictures& e) { e.hashes[1] = "00000000000000ff"; }) ==
               start +
                   "image 1 (training/unlabeled/00/b.jpg) has other content: hash "
                   "0000000000000002, in the data it is 00000000000000ff" +
                   end);
    BOOST_TEST(mismatch([](ExpectedPictures& e) {
                   std::swap(e.paths[0], e.paths[1]);
                   std::swap(e.hashes[0], e.hashes[1]);
               }) == start +
                         "image 0 is 'training/labeled/00/a.jpg', in the data it is "
                         "'training/unlabeled/00/b.jpg'" +
                         end);
    BOOST_TEST(mismatch([](ExpectedPictures& e) { e.classes.push_back("02"); }) ==
               start + "it has 2 classes, the data has 3" + end);
    BOOST_TEST(mismatch([](ExpectedPictures& e) { e.classes[1] = "soup"; }) ==
               start + "its class 1 is '01', in the data it is 'soup'" + end);
    BOOST_TEST(mismatch([](ExpectedPictures& e) { e.stored_size = 128; }) ==
               start + "its pictures were stored at size 144, here it is 128" + end);
    BOOST_TEST(mismatch([](ExpectedPictures& e) { e.paths.pop_back(); }) ==
               start + "image 2 (validation/01/ü.jpg) is not in the data" + end);
    BOOST_TEST(mismatch([](ExpectedPictures& e) {
                   e.paths.push_back("new.jpg");
                   e.hashes.push_back("");
               }) == start + "picture 3 of the data (new.jpg) is missing from it" + end);
}

BOOST_AUTO_TEST_CASE(logits_that_are_not_finite_are_neither_written_nor_read) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "t.safetensors";
    TeacherLogits teacher = sample_logits();
    bantam::write_teacher_logits(path, teacher);
    auto file = bantam::SafetensorsFile::open(path);
    std::vector<float> logits = file.tensor<float>("logits");
    const std::vector<float> views = file.tensor<float>("views");
    *std::ranges::find(logits, 3.0F) = std::nanf("");  // image 2, view 1
    bantam::write_safetensors(folder.path() / "nan.safetensors",
                              {bantam::TensorView{"logits", file.entry("logits").shape, logits},
                               bantam::TensorView{"views", file.entry("views").shape, views}},
                              file.metadata());
    BOOST_TEST(message_of<bantam::Error>([&] { bantam::read_teacher_logits(folder.path() / "nan.safetensors"); }) ==
               (folder.path() / "nan.safetensors").string() +
                   ": has a logit that is not finite: image 2 (validation/01/ü.jpg), view 1, class "
                   "'00'; create the file again with precompute_logits");
    teacher.logits = with(teacher.logits, 3, std::numeric_limits<float>::infinity());
    BOOST_TEST(contains(message_of<bantam::Error>([&] { bantam::write_teacher_logits(path, teacher); }),
                        "image 0 (training/labeled/00/a.jpg), view 1, class '01'"));
    BOOST_TEST(floats(bantam::read_teacher_logits(path).logits) == floats(sample_logits().logits));
}

BOOST_AUTO_TEST_CASE(views_outside_the_picture_are_refused) {
    const TemporaryFolder folder;
    const auto message = [&](std::size_t view, const bantam::View& box, const bantam::ColorFactors& color = {}) {
        TeacherLogits teacher = sample_logits();
        const auto values = values_of(bantam::StoredView{box, color});
        for (std::size_t i = 0; i < values.size(); ++i) teacher.views = with(teacher.views, view * 8 + i, values[i]);
        return message_of<bantam::Error>([&] { bantam::write_teacher_logits(folder.path() / "t", teacher); });
    };
    BOOST_TEST(contains(message(1, {0.6F, 0, 0.5F, 1, false}), "not a box within the picture: image 0"));
    BOOST_TEST(contains(message(3, {0, 0, 0, 1, false}), "not a box within the picture: image 1"));
    BOOST_TEST(contains(message(3, {0, 0, std::nanf(""), 1, false}), "not a box within"));
    BOOST_TEST(contains(message(2, {0, 0, 1, 1, true}), "first view that is not the whole picture"));
    BOOST_TEST(contains(message(2, {}, {1, 1.5F, 1}), "first view that is not the whole picture: image 1"));
    for (const float factor : {-0.5F, 10.5F, std::nanf("")})
        BOOST_TEST(contains(message(3, {}, {1, 1, factor}), "change of color that is not from 0 to 10: image 1"));
}

BOOST_AUTO_TEST_CASE(preprocessing_that_would_give_no_colors_is_refused) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "t.safetensors";
    bantam::write_teacher_logits(path, sample_logits());
    auto file = bantam::SafetensorsFile::open(path);
    const std::vector<float> logits = file.tensor<float>("logits");
    const std::vector<float> views = file.tensor<float>("views");
    const auto refusal = [&](const std::string& key, const nlohmann::json& value) {
        bantam::Metadata metadata = file.metadata();
        auto preprocessing = nlohmann::json::parse(metadata.at("preprocessing"));
        preprocessing[key] = value;
        metadata["preprocessing"] = preprocessing.dump();
        bantam::write_safetensors(folder.path() / "odd.safetensors",
                                  {bantam::TensorView{"logits", file.entry("logits").shape, logits},
                                   bantam::TensorView{"views", file.entry("views").shape, views}},
                                  metadata);
        return message_of<bantam::Error>([&] { bantam::read_teacher_logits(folder.path() / "odd.safetensors"); });
    };
    BOOST_TEST(refusal("std", {1, 2, 3}) == "nothing was thrown");
    BOOST_TEST(contains(refusal("std", {0.2, 0, 0.2}), "has the std [0.2,0,0.2], expected three from 0.001 to 1000"));
    BOOST_TEST(contains(refusal("std", {0.2, -1, 0.2}), "has the std"));
    BOOST_TEST(contains(refusal("mean", {1e300, 0, 0}), "expected three numbers from -1000 to 1000"));
    BOOST_TEST(contains(refusal("mean", {true, 0, 0}), "has the mean"));
    BOOST_TEST(contains(refusal("mean", {0, 0}), "has the mean [0,0]"));
    BOOST_TEST(contains(refusal("input", {0, 32}), "has the input 0, expected 1 to 65535"));
    BOOST_TEST(contains(refusal("input", 32), "has the input 32, expected height and width"));
    BOOST_TEST(contains(refusal("stored_size", "\x1b[2J"), "has the stored_size \"\\u001b[2J\""));
}

BOOST_AUTO_TEST_CASE(a_truncated_file_and_other_formats_are_refused) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "t.safetensors";
    bantam::write_teacher_logits(path, sample_logits());
    const std::string bytes = contents_of(path);
    for (std::size_t size = 0; size < bytes.size(); size += 7) {
        const auto cut = folder.write("cut", bytes.substr(0, size));
        BOOST_REQUIRE(contains(message_of<bantam::Error>([&] { bantam::read_teacher_logits(cut); }),
                               "not a sound safetensors file"));
    }
    bantam::write_safetensors(path, {}, {{"format", "bantam-teacher-logits/3"}});
    BOOST_TEST(contains(message_of<bantam::Error>([&] { bantam::read_teacher_logits(path); }),
                        "has format 'bantam-teacher-logits/3', expected 'bantam-teacher-logits/2'"));
    bantam::write_safetensors(path, {}, {});
    BOOST_TEST(
        contains(message_of<bantam::Error>([&] { bantam::read_teacher_logits(path); }), "its metadata lacks 'format'"));
}

BOOST_AUTO_TEST_CASE(mutated_files_are_read_or_refused_but_never_crash) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "t.safetensors";
    bantam::write_teacher_logits(path, sample_logits());
    const std::string plain = contents_of(path);
    bantam::write_teacher_logits(path, mixed_logits());
    const std::string mixed = contents_of(path);
    int refused = 0;
    for (std::uint64_t round = 0; round < 4000; ++round) {
        bantam::Random random{13, round};
        std::string mutated = round % 2 == 0 ? plain : mixed;
        for (std::uint64_t change = random.below(3) + 1; change > 0; --change)
            mutated[random.below(mutated.size())] = static_cast<char>(random.below(256));
        folder.write("m", mutated);
        try {
            bantam::check_teacher_logits(bantam::read_teacher_logits(folder.path() / "m"), "m", sample_pictures());
        } catch (const bantam::Error&) {
            ++refused;
        }
    }
    BOOST_TEST(refused > 2000);
    BOOST_TEST(refused < 4000);
}

}  // namespace

BOOST_AUTO_TEST_CASE(logits_in_memory_belong_to_whole_pictures_unless_views_are_given) {
    const bantam::TeacherLogits whole = bantam::teacher_logits_from_memory({1, 2, 3, 4, 5, 6}, 3);
    BOOST_TEST(whole.image_count() == 2);
    BOOST_TEST(whole.class_count() == 3);
    BOOST_TEST((whole.stored_view(1) == bantam::StoredView{}));
    BOOST_TEST(whole.row_logits(1)[0] == 4);
    const std::vector<bantam::View> views{bantam::whole_view(), {.height = 0.5F, .width = 0.5F}};
    const bantam::TeacherLogits two = bantam::teacher_logits_from_memory({1, 2, 3, 4}, 2, views, 2);
    BOOST_TEST(two.image_count() == 1);
    BOOST_TEST((two.stored_view(1).view == views[1]));
    BOOST_CHECK_THROW(bantam::teacher_logits_from_memory({1, 2, 3, 4, 5}, 3), bantam::Error);
    BOOST_CHECK_THROW(bantam::teacher_logits_from_memory({1, 2, 3, 4}, 2, views, 1), bantam::Error);
    BOOST_CHECK_THROW(bantam::teacher_logits_from_memory({}, 0), bantam::Error);
}
