// SPDX-License-Identifier: MIT
#define BOOST_TEST_MODULE data_resize
#include "bantam/data/resize.hpp"
#include "bantam/base/index.hpp"

#include "bantam/base/random.hpp"

#include <boost/test/unit_test.hpp>
#include <cmath>

namespace {

using bantam::Index;

using Bytes = std::vector<std::uint8_t>;

Bytes resized(const Bytes& source, Index height, Index width, Index target_height, Index target_width) {
    Bytes target(static_cast<std::size_t>(target_height * target_width * 3));
    bantam::resize_rgb(source.data(), height, width, target.data(), target_height, target_width);
    return target;
}

Bytes random_pixels(Index height, Index width) {
    bantam::Random random{3, static_cast<std::uint64_t>(height * 1000 + width)};
    Bytes pixels(static_cast<std::size_t>(height * width * 3));
    for (auto& value : pixels) value = static_cast<std::uint8_t>(random.below(256));
    return pixels;
}

Bytes gray(std::initializer_list<int> values) {
    Bytes pixels;
    for (const int value : values) pixels.insert(pixels.end(), 3, static_cast<std::uint8_t>(value));
    return pixels;
}

BOOST_AUTO_TEST_CASE(the_same_size_is_a_copy) {
    const Bytes pixels = random_pixels(9, 7);
    BOOST_TEST(resized(pixels, 9, 7, 9, 7) == pixels);
}

BOOST_AUTO_TEST_CASE(halving_averages_four_pixels_and_rounds_half_up) {
    BOOST_TEST(resized(gray({1, 2, 3, 4}), 2, 2, 1, 1) == gray({3}));  // 2.5
    BOOST_TEST(resized(gray({0, 0, 0, 1}), 2, 2, 1, 1) == gray({0}));  // 0.25
    BOOST_TEST(resized(gray({10, 20, 30, 40}), 1, 4, 1, 2) == gray({15, 35}));
}

BOOST_AUTO_TEST_CASE(shrinking_by_a_fraction_weighs_by_overlap) {
    // Three pixels onto two: each output covers one and a half.
    BOOST_TEST(resized(gray({0, 90, 240}), 1, 3, 1, 2) == gray({30, 190}));
}

BOOST_AUTO_TEST_CASE(enlarging_interpolates_between_centers) {
    // Coordinates −0.25, 0.25, 0.75, 1.25: ends are clamped.
    BOOST_TEST(resized(gray({0, 100}), 1, 2, 1, 4) == gray({0, 25, 75, 100}));
    BOOST_TEST(resized(gray({0, 100}), 2, 1, 4, 1) == gray({0, 25, 75, 100}));
}

BOOST_AUTO_TEST_CASE(one_axis_may_shrink_while_the_other_grows) {
    BOOST_TEST(resized(gray({0, 100, 200, 100}), 2, 2, 1, 4) == gray({100, 100, 100, 100}));
    BOOST_TEST(resized(gray({40}), 1, 1, 3, 5) == Bytes(45, 40));
}

BOOST_AUTO_TEST_CASE(any_sizes_agree_with_the_definition) {
    // The definition itself: dense weights per axis in double.
    const auto weights = [](Index source, Index target) {
        std::vector<std::vector<double>> rows;
        for (Index i = 0; i < target; ++i) {
            std::vector<double> row(static_cast<std::size_t>(source));
            const double scale = static_cast<double>(source) / static_cast<double>(target);
            if (source >= target) {
                for (Index j = 0; j < source; ++j) {
                    const double from = std::max(double(i) * scale, double(j));
                    const double to = std::min(double(i + 1) * scale, double(j + 1));
                    row[static_cast<std::size_t>(j)] = std::max(0.0, to - from) / scale;
                }
            } else {
                const double s = std::clamp((double(i) + 0.5) * scale - 0.5, 0.0, double(source - 1));
                const auto first = static_cast<std::size_t>(s);
                row[first] += 1 - (s - double(first));
                if (first + 1 < row.size()) row[first + 1] += s - double(first);
            }
            rows.push_back(std::move(row));
        }
        return rows;
    };
    for (const auto& [h, w, th, tw] : std::vector<std::array<Index, 4>>{
             {31, 47, 12, 20}, {12, 20, 31, 47}, {50, 9, 16, 16}, {1, 64, 16, 16}, {144, 100, 48, 48}}) {
        const Bytes source = random_pixels(h, w);
        const Bytes target = resized(source, h, w, th, tw);
        const auto rows = weights(h, th);
        const auto columns = weights(w, tw);
        for (Index y = 0; y < th; ++y)
            for (Index x = 0; x < tw; ++x) {
                double sum = 0;
                for (Index sy = 0; sy < h; ++sy)
                    for (Index sx = 0; sx < w; ++sx)
                        sum += rows[std::size_t(y)][std::size_t(sy)] * columns[std::size_t(x)][std::size_t(sx)] *
                               source[std::size_t((sy * w + sx) * 3 + 1)];
                const double got = target[std::size_t((y * tw + x) * 3 + 1)];
                BOOST_REQUIRE(std::abs(got - sum) <= 0.5 + 1e-9);
            }
    }
}

}  // namespace
