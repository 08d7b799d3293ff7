// SPDX-License-Identifier: MIT
#define BOOST_TEST_MODULE data_picture
#include "bantam/data/picture.hpp"

#include "data/sample_pictures.hpp"
#include "io/temporary_folder.hpp"

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cstdlib>
#include <ostream>
#include <set>

namespace bantam {
std::ostream& operator<<(std::ostream& stream, PictureProblem problem) {
    return stream << picture_problem_text(problem);
}
}  // namespace bantam

namespace {

using namespace bantam_test;
using bantam::decode_picture;
using bantam::PictureProblem;

bantam::DecodedPicture decode(const Bytes& bytes, const bantam::PictureLimits& limits = {}) {
    return decode_picture(std::span<const std::uint8_t>{bytes}, limits);
}

BOOST_AUTO_TEST_CASE(png_and_bmp_are_decoded_exactly) {
    const Bytes pixels = smooth_pixels(13, 17, 3);
    for (const Bytes& file : {png_of(pixels, 13, 17, 3), bmp_of(pixels, 13, 17, 3)}) {
        const auto decoded = decode(file);
        BOOST_TEST(decoded.problem == PictureProblem::none);
        BOOST_TEST(decoded.picture.height == 13);
        BOOST_TEST(decoded.picture.width == 17);
        BOOST_TEST(decoded.picture.rgb == pixels);
    }
}

BOOST_AUTO_TEST_CASE(jpeg_is_decoded_approximately) {
    Bytes pixels;
    for (int y = 0; y < 32; ++y)
        for (int x = 0; x < 48; ++x)
            for (int c = 0; c < 3; ++c) pixels.push_back(static_cast<std::uint8_t>(50 + 2 * x + y));
    const auto decoded = decode(jpeg_of(pixels, 32, 48, 3));
    BOOST_REQUIRE(decoded.problem == PictureProblem::none);
    BOOST_REQUIRE(decoded.picture.rgb.size() == pixels.size());
    for (std::size_t i = 0; i < pixels.size(); ++i) BOOST_REQUIRE(std::abs(decoded.picture.rgb[i] - pixels[i]) <= 6);
}

BOOST_AUTO_TEST_CASE(gray_becomes_rgb_and_alpha_is_dropped) {
    const Bytes gray = smooth_pixels(5, 4, 1);
    const auto from_gray = decode(png_of(gray, 5, 4, 1)).picture.rgb;
    BOOST_REQUIRE(from_gray.size() == 60U);
    for (std::size_t i = 0; i < 60; ++i) BOOST_TEST(from_gray[i] == gray[i / 3]);
    Bytes with_alpha;
    const Bytes color = smooth_pixels(5, 4, 3);
    for (std::size_t i = 0; i < color.size(); ++i) {
        with_alpha.push_back(color[i]);
        if (i % 3 == 2) with_alpha.push_back(static_cast<std::uint8_t>(i));
    }
    BOOST_TEST(decode(png_of(with_alpha, 5, 4, 4)).picture.rgb == color);
}

BOOST_AUTO_TEST_CASE(every_truncation_of_every_format_is_reported_as_truncated) {
    const Bytes pixels = smooth_pixels(16, 16, 3);
    for (const Bytes& file : {jpeg_of(pixels, 16, 16, 3), png_of(pixels, 16, 16, 3), bmp_of(pixels, 16, 16, 3)})
        for (std::size_t size = 8; size < file.size(); ++size)
            BOOST_REQUIRE_EQUAL(decode(first_bytes(file, size)).problem, PictureProblem::truncated);
}

BOOST_AUTO_TEST_CASE(a_picture_with_bytes_behind_its_end_is_sound) {
    Bytes file = jpeg_of(smooth_pixels(16, 16, 3), 16, 16, 3);
    file.insert(file.end(), 100, 0);
    BOOST_TEST(decode(file).problem == PictureProblem::none);
}

BOOST_AUTO_TEST_CASE(a_cmyk_jpeg_is_refused) {
    Bytes file = jpeg_of(smooth_pixels(16, 16, 3), 16, 16, 3);
    file[frame_of(file) + 9] = 4;
    BOOST_TEST(decode(file).problem == PictureProblem::cmyk);
}

BOOST_AUTO_TEST_CASE(jpeg_kinds_that_cannot_be_decoded_are_named) {
    const Bytes sound = jpeg_of(smooth_pixels(16, 16, 3), 16, 16, 3);
    for (const std::uint8_t marker : Bytes{0xc3, 0xc9, 0xcf}) {
        Bytes file = sound;
        file[frame_of(sound) + 1] = marker;
        BOOST_TEST(decode(file).problem == PictureProblem::unsupported);
    }
    Bytes twelve_bits = sound;
    twelve_bits[frame_of(sound) + 4] = 12;
    BOOST_TEST(decode(twelve_bits).problem == PictureProblem::unsupported);
}

BOOST_AUTO_TEST_CASE(an_absurd_size_is_refused_from_the_header) {
    Bytes jpeg = jpeg_of(smooth_pixels(16, 16, 3), 16, 16, 3);
    for (std::size_t byte = 5; byte < 9; ++byte) jpeg[frame_of(jpeg) + byte] = 0xff;
    BOOST_TEST(decode(jpeg).problem == PictureProblem::too_large);
    Bytes png = png_of(smooth_pixels(16, 16, 3), 16, 16, 3);
    png[17] = png[21] = 0xff;
    BOOST_TEST(decode(png).problem == PictureProblem::too_large);
    Bytes bmp = bmp_of(smooth_pixels(16, 16, 3), 16, 16, 3);
    bmp[20] = bmp[24] = 0x7f;
    BOOST_TEST(decode(bmp).problem == PictureProblem::too_large);

    const Bytes sound = png_of(smooth_pixels(10, 10, 3), 10, 10, 3);
    BOOST_TEST(decode(sound, {100, 100'000}).problem == PictureProblem::none);
    BOOST_TEST(decode(sound, {99, 100'000}).problem == PictureProblem::too_large);
    BOOST_TEST(decode(sound, {100, sound.size() - 1}).problem == PictureProblem::too_large);
}

BOOST_AUTO_TEST_CASE(files_without_a_picture_are_distinguished) {
    const TemporaryFolder folder;
    BOOST_TEST(decode_picture(folder.write("a.jpg", "")).problem == PictureProblem::empty);
    BOOST_TEST(decode_picture(folder.write("b.jpg", "just a text")).problem == PictureProblem::not_a_picture);
    BOOST_TEST(decode_picture(folder.write("c.jpg", "<html>")).problem == PictureProblem::not_a_picture);
    BOOST_TEST(decode_picture(folder.path() / "missing.jpg").problem == PictureProblem::unreadable);
    BOOST_TEST(decode_picture(folder.path()).problem == PictureProblem::unreadable);
    const Bytes png = png_of(smooth_pixels(4, 4, 3), 4, 4, 3);
    BOOST_TEST(decode_picture(folder.write("named.jpg", png)).problem == PictureProblem::none);
    BOOST_TEST(decode_picture(folder.path() / "named.jpg", {16, 10}).problem == PictureProblem::too_large);
}

BOOST_AUTO_TEST_CASE(a_damaged_picture_is_not_decoded) {
    Bytes png = png_of(smooth_pixels(16, 16, 3), 16, 16, 3);
    for (std::size_t byte = 43; byte < 60; ++byte) png[byte] = 0xff;
    BOOST_TEST(decode(png).problem == PictureProblem::damaged);
    Bytes zero = jpeg_of(smooth_pixels(16, 16, 3), 16, 16, 3);
    for (std::size_t byte = 5; byte < 9; ++byte) zero[frame_of(zero) + byte] = 0;
    BOOST_TEST(decode(zero).problem == PictureProblem::damaged);
}

BOOST_AUTO_TEST_CASE(a_huffman_table_with_too_many_codes_is_refused) {
    Bytes file = jpeg_of(smooth_pixels(16, 16, 3), 16, 16, 3);
    const Bytes marker{0xff, 0xc4};
    const auto table = std::search(file.begin(), file.end(), marker.begin(), marker.end());
    BOOST_REQUIRE((table != file.end()));
    for (int count = 0; count < 16; ++count) table[5 + count] = 0xff;
    BOOST_TEST(decode(file).problem == PictureProblem::damaged);
}

BOOST_AUTO_TEST_CASE(every_problem_has_a_different_text) {
    std::set<std::string_view> texts;
    for (std::size_t problem = 0; problem < bantam::picture_problem_count; ++problem)
        texts.insert(bantam::picture_problem_text(static_cast<PictureProblem>(problem)));
    BOOST_TEST(texts.size() == bantam::picture_problem_count);
    BOOST_TEST(!texts.contains(""));
}

BOOST_AUTO_TEST_CASE(mutated_pictures_never_crash) {
    const Bytes pixels = smooth_pixels(24, 20, 3);
    const std::vector<Bytes> sound{jpeg_of(pixels, 24, 20, 3), png_of(pixels, 24, 20, 3), bmp_of(pixels, 24, 20, 3),
                                   png_of(pixels, 24, 60, 1)};
    int decoded = 0;
    constexpr std::uint64_t rounds = 6000;
    for (std::uint64_t round = 0; round < rounds; ++round) {
        bantam::Random random{11, round};
        Bytes file = sound[round % sound.size()];
        // Half of the changes are in the header, where they have the most effect.
        const std::size_t reach = random.below(2) == 0 ? std::size_t{64} : file.size();
        for (std::uint64_t change = random.below(6) + 1; change > 0; --change)
            file[random.below(std::min(reach, file.size()))] = static_cast<std::uint8_t>(random.below(256));
        const auto result = decode(file, {100'000, 1'000'000});
        const bool sized = result.picture.rgb.size() == static_cast<std::size_t>(result.picture.height) *
                                                            static_cast<std::size_t>(result.picture.width) * 3;
        BOOST_REQUIRE(sized);
        BOOST_REQUIRE((result.problem == PictureProblem::none) == !result.picture.rgb.empty());
        decoded += result.problem == PictureProblem::none;
    }
    BOOST_TEST(decoded > 500);
    BOOST_TEST(decoded < static_cast<int>(rounds) - 500);
}

}  // namespace
