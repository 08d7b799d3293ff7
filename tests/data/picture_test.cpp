// SPDX-License-Identifier: MIT
#define BOOST_TEST_MODULE data_picture

// A program's own stb_image, with all formats, is implemented before Bantam's copy and declared again behind it.
#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wall"
#pragma GCC diagnostic ignored "-Wextra"
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wpedantic"
#endif
#define STB_IMAGE_STATIC
#define STB_IMAGE_IMPLEMENTATION
#include <stb/stb_image.h>
#undef STB_IMAGE_IMPLEMENTATION

#include "bantam/data/picture.hpp"

#include <stb/stb_image.h>
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif

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
    for (const Bytes& file : {jpeg_of(pixels, 16, 16, 3), png_of(pixels, 16, 16, 3), bmp_of(pixels, 16, 16, 3)}) {
        // The last twelve bytes of a PNG only say that it ends.
        const std::size_t end = file.size() - (file[0] == 0x89 ? 12 : 0);
        for (std::size_t size = 8; size < end; ++size)
            BOOST_REQUIRE_EQUAL(decode(first_bytes(file, size)).problem, PictureProblem::truncated);
        for (std::size_t size = end; size < file.size(); ++size)
            BOOST_TEST(decode(first_bytes(file, size)).picture.rgb == decode(file).picture.rgb);
    }
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
    // What the system fails to read may be a sound picture.
    BOOST_CHECK_THROW(decode_picture(folder.path() / std::string(300, 'x')), bantam::Error);
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

using bantam::detail::append;
using bantam::detail::append_big_endian;
using bantam::detail::append_little_endian;

Bytes operator+(Bytes left, const Bytes& right) {
    left.insert(left.end(), right.begin(), right.end());
    return left;
}

struct Segment {
    std::uint8_t marker;
    Bytes bytes;  // from 0xff on
};

/// A JPEG file in parts: the segments up to the scan's header, and the scan's data without the end marker.
struct JpegParts {
    std::vector<Segment> segments;
    Bytes data;

    explicit JpegParts(const Bytes& file) {
        std::size_t position = 2;
        do {
            const std::size_t length = 2U + (std::size_t{file[position + 2]} << 8 | file[position + 3]);
            const auto begin = file.begin() + static_cast<std::ptrdiff_t>(position);
            segments.push_back({file[position + 1], Bytes(begin, begin + static_cast<std::ptrdiff_t>(length))});
            position += length;
        } while (segments.back().marker != 0xda);
        data.assign(file.begin() + static_cast<std::ptrdiff_t>(position), file.end() - 2);
    }

    Bytes head() const {
        Bytes file{0xff, 0xd8};
        for (const Segment& segment : segments) file = file + segment.bytes;
        return file;
    }
    Bytes file(const Bytes& tail = {0xff, 0xd9}) const { return head() + data + tail; }
};

Bytes sound_jpeg() { return jpeg_of(smooth_pixels(40, 24, 3), 40, 24, 3); }

BOOST_AUTO_TEST_CASE(a_program_may_use_stb_image_itself) {
    // A GIF of one red pixel, a format that Bantam's copy does not read.
    const Bytes gif{'G', 'I', 'F', '8', '9', 'a', 1, 0, 1, 0, 0x80, 0, 0, 200,  10, 20, 0,  0,
                    0,   ',', 0,   0,   0,   0,   1, 0, 1, 0, 0,    2, 2, 0x44, 1,  0,  ';'};
    int width = 0;
    int height = 0;
    int channels = 0;
    stbi_uc* const pixels =
        stbi_load_from_memory(gif.data(), static_cast<int>(gif.size()), &width, &height, &channels, 3);
    BOOST_REQUIRE((pixels != nullptr));
    BOOST_TEST(pixels[0] == 200);
    stbi_image_free(pixels);
    BOOST_TEST(decode(gif).problem == PictureProblem::not_a_picture);
}

BOOST_AUTO_TEST_CASE(a_jpeg_without_the_tables_or_components_it_needs_is_damaged) {
    const JpegParts sound{sound_jpeg()};
    BOOST_TEST(decode(sound.file()).problem == PictureProblem::none);
    for (const std::uint8_t marker : Bytes{0xdb, 0xc4, 0xc0}) {
        JpegParts parts = sound;
        std::erase_if(parts.segments, [&](const Segment& segment) { return segment.marker == marker; });
        BOOST_TEST(decode(parts.file()).problem == PictureProblem::damaged);
    }
    JpegParts one = sound;
    one.segments.back().bytes = {0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0};
    BOOST_TEST(decode(one.file()).problem != PictureProblem::none);
    JpegParts twice = sound;
    twice.segments.back().bytes[7] = 1;
    BOOST_TEST(decode(twice.file()).problem == PictureProblem::damaged);
}

BOOST_AUTO_TEST_CASE(a_cut_jpeg_with_an_end_marker_is_truncated) {
    const JpegParts sound{sound_jpeg()};
    for (std::size_t size = 0; size + 1 < sound.data.size(); ++size) {
        JpegParts parts = sound;
        parts.data.resize(size);
        if (size > 0 && parts.data.back() == 0xff) continue;  // would become a marker
        BOOST_REQUIRE_EQUAL(decode(parts.file()).problem, PictureProblem::truncated);
    }
}

BOOST_AUTO_TEST_CASE(what_cameras_write_behind_the_data_changes_nothing) {
    const JpegParts sound{sound_jpeg()};
    const Bytes expected = decode(sound.file()).picture.rgb;
    const Bytes end{0xff, 0xd9};
    for (const Bytes& tail :
         {Bytes(64, 0) + end, Bytes{0xff, 0, 0xff, 0} + end, Bytes{0xff, 0xd0} + end, Bytes{0xff, 0xff, 0xff} + end,
          Bytes{0xff, 0xfe, 0, 4, 'h', 'i'} + end, Bytes{0, 0, 1, 10, 'I', 'm', 'a', 'g', 'e'}, end + Bytes(50, 7)}) {
        const auto decoded = decode(sound.file(tail));
        BOOST_TEST(decoded.problem == PictureProblem::none);
        BOOST_TEST(decoded.picture.rgb == expected);
    }
}

BOOST_AUTO_TEST_CASE(color_is_inferred_as_libjpeg_does) {
    const JpegParts sound{sound_jpeg()};
    const Bytes expected = decode(sound.file()).picture.rgb;
    const auto with_names = [&](const Bytes& names, const Bytes& before) {
        JpegParts parts = sound;
        std::erase_if(parts.segments, [](const Segment& segment) { return segment.marker == 0xe0; });
        if (!before.empty()) parts.segments.insert(parts.segments.begin(), {before[1], before});
        for (Segment& segment : parts.segments)
            for (std::size_t index = 0; index < 3; ++index) {
                if (segment.marker == 0xc0) segment.bytes[10 + 3 * index] = names[index];
                if (segment.marker == 0xda) segment.bytes[5 + 2 * index] = names[index];
            }
        return decode(parts.file()).picture.rgb;
    };
    const Bytes adobe{0xff, 0xee, 0, 14, 'A', 'd', 'o', 'b', 'e', 0, 100, 0, 0, 0, 0, 0};
    Bytes adobe_ycc = adobe;
    adobe_ycc.back() = 1;
    const Bytes jfif = sound.segments.front().bytes;
    const Bytes rgb = with_names({'R', 'G', 'B'}, {});
    BOOST_TEST(rgb != expected);
    BOOST_TEST(with_names({1, 2, 3}, adobe) == rgb);
    BOOST_TEST(with_names({1, 2, 3}, adobe_ycc) == expected);
    BOOST_TEST(with_names({9, 8, 7}, {}) == expected);
    BOOST_TEST(with_names({'R', 'G', 'B'}, jfif) == expected);
}

/// A gray JPEG of 2x2 blocks, each one of value 128, in `scans` with the tables of a sound file.
Bytes gray_jpeg(std::uint8_t frame, const Bytes& before_scans, const Bytes& scans) {
    JpegParts parts{sound_jpeg()};
    parts.segments.pop_back();
    for (Segment& segment : parts.segments)
        if (segment.marker == 0xc0) segment = {frame, {0xff, frame, 0, 11, 8, 0, 16, 0, 16, 1, 1, 0x11, 0}};
    return parts.head() + before_scans + scans + Bytes{0xff, 0xd9};
}

// The code of a difference of zero is 00, that of the end of a block 1010.
const Bytes sequential_scan{0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0};
const Bytes dc_scan{0xff, 0xda, 0, 8, 1, 1, 0, 0, 0, 0, 0x00};
const Bytes ac_scan{0xff, 0xda, 0, 8, 1, 1, 0, 1, 63, 0, 0xaa, 0xaa};

BOOST_AUTO_TEST_CASE(restart_intervals_are_counted) {
    const Bytes every_block{0xff, 0xdd, 0, 4, 0, 1};
    const auto in_intervals = [&](const Bytes& data) {
        return decode(gray_jpeg(0xc0, every_block, sequential_scan + data));
    };
    const auto whole = in_intervals({0x2b, 0xff, 0xd0, 0x2b, 0xff, 0xd1, 0x2b, 0xff, 0xd2, 0x2b});
    BOOST_TEST(whole.problem == PictureProblem::none);
    BOOST_TEST(whole.picture.rgb == Bytes(16 * 16 * 3, 128));
    // Filling before the markers is accepted.
    BOOST_TEST(in_intervals({0x2b, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xd0, 0x2b, 0xff, 0xff, 0xd1, 0x2b, 0xff, 0xd2, 0x2b})
                   .picture.rgb == whole.picture.rgb);
    BOOST_TEST(in_intervals({0x2b, 0xff, 0xd0, 0x2b, 0xff, 0xd1, 0x2b}).problem == PictureProblem::truncated);
    BOOST_TEST(in_intervals({0x2b, 0xff, 0xd0, 0x2b, 0xff, 0xd1}).problem == PictureProblem::truncated);
    BOOST_TEST(in_intervals({0x2b}).problem == PictureProblem::truncated);
    BOOST_TEST(in_intervals({}).problem == PictureProblem::truncated);
    BOOST_TEST(in_intervals({0x2b, 0xff, 0xd1, 0x2b, 0xff, 0xd2, 0x2b, 0xff, 0xd3, 0x2b}).problem ==
               PictureProblem::damaged);
}

BOOST_AUTO_TEST_CASE(progressive_scans_are_checked) {
    const auto progressive = [](const Bytes& scans) { return decode(gray_jpeg(0xc2, {}, scans)); };
    BOOST_TEST(progressive(dc_scan + ac_scan).picture.rgb == Bytes(16 * 16 * 3, 128));
    BOOST_TEST(progressive(dc_scan).problem == PictureProblem::none);
    BOOST_TEST(progressive(ac_scan).problem == PictureProblem::damaged);  // no first coefficients
    BOOST_TEST(progressive(first_bytes(dc_scan, dc_scan.size() - 1)).problem == PictureProblem::truncated);
    BOOST_TEST(progressive(dc_scan + first_bytes(ac_scan, ac_scan.size() - 1)).problem == PictureProblem::truncated);
    Bytes both = dc_scan;
    both[8] = 63;  // first and other coefficients in one scan
    BOOST_TEST(progressive(both).problem == PictureProblem::damaged);
    Bytes jump = ac_scan;
    jump[9] = 0x31;  // a refinement by more than one bit
    BOOST_TEST(progressive(dc_scan + jump).problem == PictureProblem::damaged);

    Bytes scans = dc_scan;
    for (int scan = 0; scan < 15; ++scan) scans = scans + ac_scan;
    BOOST_TEST(progressive(scans).problem == PictureProblem::none);
    for (int scan = 0; scan < 1000; ++scan) scans = scans + ac_scan;
    BOOST_TEST(progressive(scans).problem == PictureProblem::damaged);
}

BOOST_AUTO_TEST_CASE(a_small_file_that_claims_a_large_picture_is_refused_before_memory_is_used) {
    Bytes jpeg = gray_jpeg(0xc2, {}, dc_scan + ac_scan);
    const std::size_t frame = frame_of(jpeg);
    jpeg[frame + 5] = jpeg[frame + 7] = 0x1f;  // about 8000 x 8000
    BOOST_TEST(decode(jpeg).problem == PictureProblem::truncated);
}

/// The eight orientations of a picture whose pixels are all different.
BOOST_AUTO_TEST_CASE(an_exif_orientation_is_applied) {
    const Bytes pixels{10, 0, 0, 20, 0, 0, 30, 0, 0, 40, 0, 0, 50, 0, 0, 60, 0, 0};  // 2 rows of 3
    const std::vector<std::vector<int>> expected{
        {10, 20, 30, 40, 50, 60}, {30, 20, 10, 60, 50, 40}, {60, 50, 40, 30, 20, 10}, {40, 50, 60, 10, 20, 30},
        {10, 40, 20, 50, 30, 60}, {40, 10, 50, 20, 60, 30}, {60, 30, 50, 20, 40, 10}, {30, 60, 20, 50, 10, 40}};
    for (int orientation = 1; orientation <= 8; ++orientation)
        for (const bool intel : {false, true}) {
            Bytes exif = intel ? Bytes{'I', 'I', 42, 0, 8, 0, 0, 0, 1, 0, 0x12, 1, 3, 0, 1, 0, 0, 0, 0, 0, 0, 0}
                               : Bytes{'M', 'M', 0, 42, 0, 0, 0, 8, 0, 1, 1, 0x12, 0, 3, 0, 0, 0, 1, 0, 0, 0, 0};
            exif[intel ? 18 : 19] = static_cast<std::uint8_t>(orientation);
            Bytes chunk;
            bantam::detail::append_png_chunk(chunk, "eXIf", exif);
            Bytes png = png_of(pixels, 2, 3, 3);
            png.insert(png.begin() + 33, chunk.begin(), chunk.end());
            const auto decoded = decode(png);
            BOOST_REQUIRE(decoded.problem == PictureProblem::none);
            BOOST_TEST(decoded.picture.height == (orientation < 5 ? 2 : 3));
            for (std::size_t pixel = 0; pixel < 6; ++pixel)
                BOOST_TEST(decoded.picture.rgb[3 * pixel] ==
                           expected[static_cast<std::size_t>(orientation - 1)][pixel]);

            JpegParts jpeg{sound_jpeg()};
            Bytes segment{0xff, 0xe1, 0, static_cast<std::uint8_t>(8 + exif.size()), 'E', 'x', 'i', 'f', 0, 0};
            jpeg.segments.insert(jpeg.segments.begin() + 1, {0xe1, segment + exif});
            BOOST_TEST(decode(jpeg.file()).picture.width == (orientation < 5 ? 24 : 40));
        }
}

/// A PNG of 8x8 pixels; `rows` are the bytes before compression. They are stored, not compressed.
Bytes indexed_png(std::uint8_t depth, const Bytes& palette, const Bytes& rows) {
    Bytes file{0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    bantam::detail::append_png_chunk(file, "IHDR", Bytes{0, 0, 0, 8, 0, 0, 0, 8, depth, 3, 0, 0, 0});
    if (!palette.empty()) bantam::detail::append_png_chunk(file, "PLTE", palette);
    Bytes data{0x78, 1, 1};
    append_little_endian(data, rows.size(), 2);
    append_little_endian(data, ~rows.size(), 2);
    append(data, rows);
    bantam::detail::append_png_chunk(file, "IDAT", data);
    bantam::detail::append_png_chunk(file, "IEND", {});
    return file;
}

BOOST_AUTO_TEST_CASE(a_color_missing_from_a_png_palette_is_black) {
    for (const std::uint8_t depth : Bytes{1, 2, 4, 8}) {
        const Bytes row = Bytes{0} + Bytes(depth, 0xff);
        Bytes rows;
        for (int index = 0; index < 8; ++index) rows = rows + row;
        const auto decoded = decode(indexed_png(depth, {1, 2, 3}, rows));
        BOOST_TEST(decoded.problem == PictureProblem::none);
        BOOST_TEST(decoded.picture.rgb == Bytes(8 * 8 * 3, 0));
        BOOST_TEST(decode(indexed_png(depth, {}, rows)).problem == PictureProblem::damaged);
        rows.resize(rows.size() - 1);
        BOOST_TEST(decode(indexed_png(depth, {1, 2, 3}, rows)).problem == PictureProblem::damaged);
    }
}

BOOST_AUTO_TEST_CASE(a_flipped_bit_in_a_png_is_noticed) {
    const Bytes sound = png_of(smooth_pixels(6, 5, 3), 6, 5, 3);
    for (std::size_t byte = 8; byte + 12 < sound.size(); ++byte) {
        Bytes file = sound;
        file[byte] = static_cast<std::uint8_t>(file[byte] ^ 0x10);
        BOOST_REQUIRE(decode(file).problem != PictureProblem::none);
    }
}

BOOST_AUTO_TEST_CASE(a_png_does_not_expand_beyond_its_size) {
    Bytes large = png_of(Bytes(3000 * 3000, 5), 3000, 3000, 1);
    large[18] = large[22] = 0;  // 3000 = 0x0bb8 becomes 184
    Bytes header(large.begin() + 12, large.begin() + 29);
    for (std::size_t byte = 0; byte < 4; ++byte)
        large[29 + byte] = static_cast<std::uint8_t>(bantam::detail::png_checksum(header) >> (24 - 8 * byte));
    BOOST_TEST(decode(large).problem == PictureProblem::damaged);
}

/// A BMP with a 40-byte header.
Bytes bmp_file(int width, int height, int depth, int compression, const Bytes& behind_header, const Bytes& rows) {
    Bytes file{'B', 'M'};
    append_little_endian(file, 54 + behind_header.size() + rows.size(), 4);
    append_little_endian(file, 0, 4);
    append_little_endian(file, 54 + behind_header.size(), 4);
    append_little_endian(file, 40, 4);
    append_little_endian(file, static_cast<std::uint64_t>(width), 4);
    append_little_endian(file, static_cast<std::uint64_t>(height), 4);
    append_little_endian(file, 1, 2);
    append_little_endian(file, static_cast<std::uint64_t>(depth), 2);
    append_little_endian(file, static_cast<std::uint64_t>(compression), 4);
    append_little_endian(file, 0, 20);
    return file + behind_header + rows;
}

BOOST_AUTO_TEST_CASE(bmp_kinds_are_decoded_or_named) {
    const Bytes two_rows{1, 2, 3, 0, 4, 5, 6, 0};  // of one pixel, blue first
    BOOST_TEST(decode(bmp_file(1, 2, 24, 0, {}, two_rows)).picture.rgb == (Bytes{6, 5, 4, 3, 2, 1}));
    BOOST_TEST(decode(bmp_file(1, -2, 24, 0, {}, two_rows)).picture.rgb == (Bytes{3, 2, 1, 6, 5, 4}));
    BOOST_TEST(decode(bmp_file(1, -2, 32, 0, {}, two_rows)).picture.rgb == (Bytes{3, 2, 1, 6, 5, 4}));
    const Bytes masks{0, 0xf8, 0, 0, 0xe0, 7, 0, 0, 0x1f, 0, 0, 0};
    BOOST_TEST(decode(bmp_file(1, 1, 16, 3, masks, {0xff, 0xff, 0, 0})).picture.rgb == (Bytes{255, 255, 255}));
    const Bytes wide_masks{0, 0, 0xf0, 0x3f, 0, 0xfc, 0x0f, 0, 0xff, 3, 0, 0};
    BOOST_TEST(decode(bmp_file(1, 1, 32, 3, wide_masks, {0, 0, 0, 0})).problem == PictureProblem::unsupported);
    for (const int compression : {1, 2, 4, 5, 9})
        BOOST_TEST(decode(bmp_file(8, 1, 8, compression, Bytes(1024, 9), Bytes(8, 0))).problem ==
                   PictureProblem::unsupported);
    BOOST_TEST(decode(bmp_file(8, 1, 2, 0, Bytes(16, 9), Bytes(8, 0))).problem == PictureProblem::unsupported);
}

BOOST_AUTO_TEST_CASE(a_color_missing_from_a_bmp_palette_is_black) {
    const Bytes palette{30, 20, 10, 0};
    for (const int depth : {1, 4, 8}) {
        const auto decoded = decode(bmp_file(8, 1, depth, 0, palette, Bytes(8, 0xff)));
        BOOST_TEST(decoded.problem == PictureProblem::none);
        BOOST_TEST(decoded.picture.rgb == Bytes(24, 0));
        BOOST_TEST(decode(bmp_file(8, 1, depth, 0, palette, Bytes(8, 0))).picture.rgb[0] == 10);
        BOOST_TEST(decode(bmp_file(8, 1, depth, 0, {}, Bytes(8, 0))).problem == PictureProblem::damaged);
    }
}

BOOST_AUTO_TEST_CASE(a_bmp_whose_pixels_start_in_its_header_is_damaged) {
    const Bytes sound = bmp_file(8, 8, 24, 0, {}, Bytes(192, 7));
    for (std::uint8_t start = 0; start < 54; ++start) {
        Bytes file = sound;
        file[10] = start;
        BOOST_TEST(decode(file).problem == PictureProblem::damaged);
    }
    Bytes behind = sound;
    behind[10] = 55;
    BOOST_TEST(decode(behind).problem == PictureProblem::truncated);
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
    BOOST_TEST(decoded > 300);
    BOOST_TEST(decoded < static_cast<int>(rounds) - 500);
}

BOOST_AUTO_TEST_CASE(memory_that_is_used_again_shows_nothing_of_the_picture_before) {
    bantam::Picture reused;
    for (const auto& [height, width] : {std::pair{300, 200}, {40, 500}, {300, 200}, {7, 5}, {299, 201}}) {
        const Bytes png = png_of(smooth_pixels(height, width, 3, std::uint64_t(height)), height, width, 3);
        BOOST_TEST((bantam::decode_picture(png, {}, reused) == PictureProblem::none));
        const bantam::Picture fresh = bantam::decode_picture(std::span<const std::uint8_t>{png}).picture;
        BOOST_TEST((reused.rgb == fresh.rgb && reused.height == height && reused.width == width));
        BOOST_TEST(
            (bantam::decode_picture(first_bytes(png, png.size() - 20), {}, reused) == PictureProblem::truncated));
        BOOST_TEST((reused.rgb.empty() && reused.height == 0 && reused.width == 0));
    }
}

BOOST_AUTO_TEST_CASE(the_decoders_memory_is_zeroed_each_time) {
    auto& memory = bantam::detail::DecoderMemory::of_this_thread();
    memory.begin(std::size_t{1} << 20);
    for (const std::size_t bytes : {100'000U, 90'000U, 60'000U, 100'000U, 50U}) {
        auto* const block = static_cast<std::uint8_t*>(memory.allocate(bytes));
        BOOST_TEST_REQUIRE(block != nullptr);
        BOOST_TEST((std::all_of(block, block + bytes, [](std::uint8_t byte) { return byte == 0; })));
        std::fill_n(block, bytes, std::uint8_t{255});
        memory.release(block);
    }
    BOOST_TEST(memory.allocate((std::size_t{1} << 20) + 1) == nullptr);
    BOOST_TEST(!memory.exhausted());
}

}  // namespace
