// SPDX-License-Identifier: MIT
#define BOOST_TEST_MODULE data_picture_store
#include "bantam/data/picture_store.hpp"

#include "data/sample_pictures.hpp"
#include "io/temporary_folder.hpp"

#include <boost/test/unit_test.hpp>

namespace {

using namespace bantam_test;
using bantam::PictureOptions;
using bantam::PictureProblem;
using bantam::PictureStore;

/// Eleven files, of which every third is bad.
std::vector<std::string> write_mixture(const TemporaryFolder& folder) {
    std::vector<std::string> paths;
    for (int index = 0; index < 11; ++index) {
        const std::string name = "p" + std::to_string(100 + index) + ".jpg";
        const int size = 20 + 7 * index;
        const Bytes png = png_of(smooth_pixels(size, 30, 3, std::uint64_t(index)), size, 30, 3);
        if (index == 2)
            folder.write(name, "");
        else if (index == 5)
            folder.write(name, first_bytes(png, png.size() - 20));
        else if (index == 8)
            folder.write(name, "no picture at all");
        else
            folder.write(name, png);
        paths.push_back(name);
    }
    return paths;
}

BOOST_AUTO_TEST_CASE(bad_pictures_are_left_out_counted_and_named) {
    const TemporaryFolder folder;
    const auto paths = write_mixture(folder);
    const PictureStore store{folder.path(), paths, {.stored_size = 16}};
    BOOST_TEST(store.size() == 8U);
    BOOST_TEST(store.report().good() == 8U);
    BOOST_TEST(store.source_index(2) == 3U);
    BOOST_TEST(store.paths()[2] == "p103.jpg");
    BOOST_TEST(store.report().text() ==
               "3 of 11 pictures left out: 1 is empty, 1 is not a JPEG, PNG or BMP picture, "
               "1 is truncated (p102.jpg is empty; p105.jpg is truncated; p108.jpg is not a JPEG, "
               "PNG or BMP picture)");
    const auto alone = bantam::decode_picture(folder.path() / "p103.jpg").picture;
    Bytes expected(16 * 16 * 3);
    bantam::resize_rgb(alone.rgb.data(), alone.height, alone.width, expected.data(), 16, 16);
    BOOST_TEST(Bytes(store.pixels(2), store.pixels(3)) == expected);
}

BOOST_AUTO_TEST_CASE(testing_pictures_are_checked_without_being_kept) {
    const TemporaryFolder folder;
    const auto paths = write_mixture(folder);
    const PictureStore store{folder.path(), paths, {.stored_size = 16}};
    for (const int threads : {1, 3}) {
        const auto report = bantam::check_pictures(folder.path(), bantam::TestSplit{paths}, {.threads = threads});
        BOOST_TEST(report.text() == store.report().text());
        BOOST_TEST(report.named.size() == 3U);
    }
}

BOOST_AUTO_TEST_CASE(all_bad_pictures_are_listed_and_the_text_names_ten) {
    const TemporaryFolder folder;
    std::vector<std::string> paths;
    for (int index = 0; index < 11; ++index) {
        paths.push_back(std::to_string(index) + ".png");
        folder.write(paths.back(), "");
        if (index < 9) continue;
        const auto report = bantam::check_pictures(folder.path(), bantam::TestSplit{paths}, {});
        BOOST_TEST(report.named.size() == paths.size());
        BOOST_TEST(report.text().ends_with(index == 9 ? "9.png is empty)" : "9.png is empty; …)"), report.text());
    }
}

BOOST_AUTO_TEST_CASE(the_result_does_not_depend_on_the_number_of_threads) {
    const TemporaryFolder folder;
    const auto paths = write_mixture(folder);
    const PictureStore one{folder.path(), paths, {.stored_size = 24, .hash_files = true}};
    for (const int threads : {2, 5, 40}) {
        const PictureStore many{folder.path(), paths, {.stored_size = 24, .threads = threads, .hash_files = true}};
        BOOST_TEST(many.paths() == one.paths());
        BOOST_TEST(many.hashes() == one.hashes());
        BOOST_TEST(many.report().text() == one.report().text());
        BOOST_TEST(std::memcmp(many.pixels(0), one.pixels(0), one.size() * one.picture_bytes()) == 0);
    }
    BOOST_TEST(one.hashes().size() == one.size());
    BOOST_TEST(one.hashes()[2] == bantam::hash_file(folder.path() / "p103.jpg"));
}

BOOST_AUTO_TEST_CASE(strict_loading_stops_at_the_first_bad_picture_by_name) {
    const TemporaryFolder folder;
    const auto paths = write_mixture(folder);
    BOOST_TEST(message_of<bantam::Error>([&] { PictureStore(folder.path(), paths, {.threads = 3, .strict = true}); }) ==
               (folder.path() / "p102.jpg").string() + ": is empty; replace or remove the file");
}

BOOST_AUTO_TEST_CASE(progress_ends_with_all_files_and_may_throw) {
    const TemporaryFolder folder;
    const auto paths = write_mixture(folder);
    std::size_t last = 0;
    PictureOptions options{.stored_size = 8, .threads = 2};
    options.progress = [&](std::size_t done, std::size_t total) {
        BOOST_TEST(done >= last);
        BOOST_TEST(total == 11U);
        last = done;
    };
    PictureStore(folder.path(), paths, options);
    BOOST_TEST(last == 11U);
    options.progress = [](std::size_t, std::size_t) { throw bantam::Error{"enough"}; };
    BOOST_TEST(message_of<bantam::Error>([&] { PictureStore(folder.path(), paths, options); }) == "enough");
}

BOOST_AUTO_TEST_CASE(labels_follow_the_pictures_that_remain) {
    const TemporaryFolder folder;
    const bantam::LabeledSplit split{write_mixture(folder), {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10}};
    const auto pictures = bantam::load_pictures(folder.path(), split, {.stored_size = 8});
    BOOST_TEST(pictures.labels == (std::vector<int>{0, 1, 3, 4, 6, 7, 9, 10}));
}

BOOST_AUTO_TEST_CASE(an_empty_list_and_an_absurd_size_are_handled) {
    const PictureStore store{"/", {}, {.threads = 4}};
    BOOST_TEST(store.size() == 0U);
    BOOST_TEST(store.report().text().empty());
    BOOST_TEST(message_of<bantam::Error>([] { PictureStore("/", {}, {.stored_size = 0}); }) ==
               "stored picture size 0 is out of range; choose 1 to 4096");
}

}  // namespace

BOOST_AUTO_TEST_CASE(pictures_in_memory_are_stored_like_decoded_files) {
    std::vector<std::uint8_t> pixels;
    for (int i = 0; i < 2 * 6 * 4 * 3; ++i) pixels.push_back(static_cast<std::uint8_t>(i * 7));
    const auto store = bantam::PictureStore::from_memory(pixels, 6, 4, {.stored_size = 5, .hash_files = true});
    BOOST_TEST(store.size() == 2U);
    BOOST_TEST(store.report().bad() == 0U);
    for (std::size_t picture = 0; picture < 2; ++picture) {
        std::vector<std::uint8_t> expected(5 * 5 * 3);
        const std::uint8_t* from = pixels.data() + picture * 6 * 4 * 3;
        bantam::resize_rgb(from, 6, 4, expected.data(), 5, 5);
        BOOST_TEST(std::equal(expected.begin(), expected.end(), store.pixels(picture)));
        BOOST_TEST(store.paths()[picture] == std::to_string(picture));
        BOOST_TEST(store.hashes()[picture] == bantam::hash_bytes(from, 6 * 4 * 3));
        BOOST_TEST(store.source_index(picture) == picture);
    }
    const auto error_of = [&](std::size_t count, int height, int stored) -> std::string {
        try {
            bantam::PictureStore::from_memory(std::span{pixels}.first(count), height, 4, {.stored_size = stored});
        } catch (const bantam::Error& error) {
            return error.what();
        }
        return "none";
    };
    BOOST_TEST(
        error_of(71, 6, 5).starts_with("there are 71 pixel values, no multiple of the 72 of a picture of 6x4x3"));
    BOOST_TEST(error_of(72, 0, 5) == "pictures in memory of 0x4 have no pixels; name their height and width");
    BOOST_TEST(error_of(72, 6, 0) == "stored picture size 0 is out of range; choose 1 to 4096");
    BOOST_TEST(error_of(0, 6, 5) == "none");
}
