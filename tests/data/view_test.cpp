// SPDX-License-Identifier: MIT
#define BOOST_TEST_MODULE data_view
#include "bantam/data/view.hpp"
#include "bantam/base/index.hpp"

#include <boost/test/unit_test.hpp>
#include <cmath>

namespace {

using bantam::Index;
using bantam::View;

constexpr bantam::ColorTransform as_they_are{};

std::vector<std::uint8_t> random_picture(Index size) {
    bantam::Random random{5, static_cast<std::uint64_t>(size)};
    std::vector<std::uint8_t> pixels(static_cast<std::size_t>(size * size * 3));
    for (auto& value : pixels) value = static_cast<std::uint8_t>(random.below(256));
    return pixels;
}

std::vector<float> cut(const std::vector<std::uint8_t>& stored, Index size, const View& view, bantam::Shape target,
                       const bantam::ColorTransform& colors = as_they_are) {
    // A guard after the output detects writes beyond it.
    std::vector<float> output(static_cast<std::size_t>(bantam::element_count(target)) + 1, 12345.0F);
    bantam::cut_view(stored.data(), size, view, target, output.data(), colors);
    BOOST_TEST(output.back() == 12345.0F);
    output.pop_back();
    return output;
}

// The definition itself, in double.
double expected_value(const std::vector<std::uint8_t>& stored, Index size, const View& view, bantam::Shape target,
                      Index y, Index x, Index channel) {
    const auto coordinate = [&](double start, double extent, Index i, Index count) {
        return std::clamp((start + (double(i) + 0.5) * extent / double(count)) * double(size) - 0.5, 0.0,
                          double(size - 1));
    };
    const double sy = coordinate(double(view.top), double(view.height), y, target.height);
    const double sx =
        coordinate(double(view.left), double(view.width), view.flipped ? target.width - 1 - x : x, target.width);
    const auto at = [&](Index row, Index column) {
        row = std::min(row, size - 1);
        column = std::min(column, size - 1);
        return double(stored[std::size_t((row * size + column) * 3 + channel)]);
    };
    const auto y0 = Index(sy);
    const auto x0 = Index(sx);
    const double fy = sy - double(y0);
    const double fx = sx - double(x0);
    return (1 - fy) * ((1 - fx) * at(y0, x0) + fx * at(y0, x0 + 1)) +
           fy * ((1 - fx) * at(y0 + 1, x0) + fx * at(y0 + 1, x0 + 1));
}

BOOST_AUTO_TEST_CASE(the_whole_view_at_the_stored_size_is_the_picture) {
    const auto stored = random_picture(24);
    const auto output = cut(stored, 24, bantam::whole_view(), {24, 24, 3});
    for (std::size_t i = 0; i < stored.size(); ++i) BOOST_REQUIRE(std::abs(output[i] - float(stored[i])) < 1e-3F);
}

BOOST_AUTO_TEST_CASE(every_view_agrees_with_the_definition) {
    bantam::Random random{2, 2};
    for (const Index size : {1, 2, 19, 48})
        for (int round = 0; round < 20; ++round) {
            const auto stored = random_picture(size);
            const bantam::Shape target{Index(random.below(40)) + 1, Index(random.below(40)) + 1, 3};
            const View view = round == 0 ? bantam::whole_view() : bantam::random_view(random);
            const auto output = cut(stored, size, view, target);
            for (Index y = 0; y < target.height; ++y)
                for (Index x = 0; x < target.width; ++x)
                    for (Index c = 0; c < 3; ++c) {
                        const double got = double(output[std::size_t((y * target.width + x) * 3 + c)]);
                        BOOST_REQUIRE(std::abs(got - expected_value(stored, size, view, target, y, x, c)) < 5e-3);
                    }
        }
}

BOOST_AUTO_TEST_CASE(a_flip_mirrors_the_columns_exactly) {
    const auto stored = random_picture(32);
    View view{0.1F, 0.2F, 0.5F, 0.7F, false};
    const auto plain = cut(stored, 32, view, {20, 21, 3});
    view.flipped = true;
    const auto flipped = cut(stored, 32, view, {20, 21, 3});
    for (std::size_t y = 0; y < 20; ++y)
        for (std::size_t x = 0; x < 21; ++x)
            for (std::size_t c = 0; c < 3; ++c)
                BOOST_REQUIRE(plain[(y * 21 + x) * 3 + c] == flipped[(y * 21 + 20 - x) * 3 + c]);
}

BOOST_AUTO_TEST_CASE(colors_are_mapped_by_the_whole_matrix) {
    const auto stored = random_picture(20);
    bantam::Random random{8, 8};
    const auto colors = compose(compose(bantam::byte_colors(), bantam::random_color(random, {0.4F, 0.4F, 0.4F})),
                                bantam::normalize({}));
    const View view{0.0F, 0.3F, 0.8F, 0.6F, true};
    const auto plain = cut(stored, 20, view, {9, 11, 3});
    const auto mapped = cut(stored, 20, view, {9, 11, 3}, colors);
    for (std::size_t pixel = 0; pixel < 99; ++pixel)
        for (std::size_t row = 0; row < 3; ++row) {
            float expected = colors.offset[row];
            for (std::size_t column = 0; column < 3; ++column)
                expected += colors.matrix[row][column] * plain[pixel * 3 + column];
            BOOST_REQUIRE(std::abs(mapped[pixel * 3 + row] - expected) < 1e-4F);
        }
}

BOOST_AUTO_TEST_CASE(random_views_lie_inside_and_have_the_stated_distribution) {
    bantam::Random random{4, 4};
    int flips = 0;
    double smallest = 1;
    double largest = 0;
    for (int round = 0; round < 5000; ++round) {
        const View view = bantam::random_view(random);
        const double area = double(view.height) * double(view.width);
        const double aspect = double(view.width) / double(view.height);
        BOOST_REQUIRE(view.top >= 0);
        BOOST_REQUIRE(view.left >= 0);
        BOOST_REQUIRE(view.top + view.height <= 1.000001F);
        BOOST_REQUIRE(view.left + view.width <= 1.000001F);
        BOOST_REQUIRE(area > 0.3499);
        BOOST_REQUIRE(aspect > 0.7499);
        BOOST_REQUIRE(aspect < 1.3334);
        smallest = std::min(smallest, area);
        largest = std::max(largest, area);
        flips += view.flipped;
    }
    BOOST_TEST(smallest < 0.36);
    BOOST_TEST(largest > 0.95);
    BOOST_TEST(flips > 2300);
    BOOST_TEST(flips < 2700);
}

BOOST_AUTO_TEST_CASE(the_same_stream_gives_the_same_view) {
    bantam::Random first{4, 9};
    bantam::Random second{4, 9};
    bantam::Random other{4, 10};
    const View view = bantam::random_view(first);
    BOOST_CHECK(view == bantam::random_view(second));
    BOOST_CHECK(!(view == bantam::random_view(other)));
}

BOOST_AUTO_TEST_CASE(test_time_views_are_different_boxes_of_the_picture) {
    const std::vector<View> views = bantam::test_time_views(bantam::max_test_time_views);
    BOOST_REQUIRE(std::ssize(views) == bantam::max_test_time_views);
    BOOST_CHECK(views.front() == bantam::whole_view());
    for (std::size_t i = 0; i < views.size(); ++i) {
        BOOST_TEST(std::min(views[i].top, views[i].left) >= 0);
        BOOST_TEST(std::max(views[i].top + views[i].height, views[i].left + views[i].width) <= 1);
        BOOST_TEST(views[i].flipped == (i % 2 == 1));
        BOOST_TEST(std::count(views.begin(), views.end(), views[i]) == 1);
    }
    BOOST_TEST(bantam::test_time_views(3).size() == 3U);
}

}  // namespace
