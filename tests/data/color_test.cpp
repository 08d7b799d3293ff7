// SPDX-License-Identifier: MIT
#define BOOST_TEST_MODULE data_color
#include "bantam/data/color.hpp"

#include <boost/test/unit_test.hpp>
#include <cmath>

namespace {

using bantam::ColorTransform;
using Color = std::array<float, 3>;

Color mapped(const ColorTransform& transform, const Color& color) {
    Color result = transform.offset;
    for (std::size_t row = 0; row < 3; ++row)
        for (std::size_t column = 0; column < 3; ++column) result[row] += transform.matrix[row][column] * color[column];
    return result;
}

void check_close(const Color& left, const Color& right) {
    for (std::size_t i = 0; i < 3; ++i) BOOST_TEST(std::abs(left[i] - right[i]) < 1e-5F);
}

BOOST_AUTO_TEST_CASE(a_composition_applies_both_transforms_in_order) {
    bantam::Random random{1, 1};
    const auto first = bantam::random_color(random, {0.4F, 0.4F, 0.4F});
    const auto second = bantam::normalize({});
    const Color color{0.2F, 0.7F, 0.4F};
    check_close(mapped(compose(first, second), color), mapped(second, mapped(first, color)));
}

BOOST_AUTO_TEST_CASE(bytes_are_normalized_like_torchvision) {
    const auto transform = compose(bantam::byte_colors(), bantam::normalize({}));
    check_close(mapped(transform, {255, 0, 127}),
                {(1 - 0.485F) / 0.229F, -0.456F / 0.224F, (127 / 255.0F - 0.406F) / 0.225F});
}

BOOST_AUTO_TEST_CASE(no_jitter_changes_nothing) {
    bantam::Random random{1, 2};
    check_close(mapped(bantam::random_color(random, {}), {0.1F, 0.5F, 0.9F}), {0.1F, 0.5F, 0.9F});
    BOOST_TEST(!bantam::ColorJitter{}.enabled());
}

BOOST_AUTO_TEST_CASE(each_property_moves_what_it_should) {
    bantam::Random random{1, 3};
    const Color black{0, 0, 0};
    const Color middle{0.5F, 0.5F, 0.5F};
    const Color red{0.8F, 0.2F, 0.1F};
    const auto brighter = bantam::random_color(random, {0.5F, 0, 0});
    check_close(mapped(brighter, black), black);
    BOOST_TEST(std::abs(mapped(brighter, middle)[0] - 0.5F) > 0.001F);
    const auto contrast = bantam::random_color(random, {0, 0.5F, 0});
    check_close(mapped(contrast, middle), middle);
    BOOST_TEST(std::abs(mapped(contrast, black)[0]) > 0.001F);
    const auto saturated = bantam::random_color(random, {0, 0, 0.5F});
    check_close(mapped(saturated, middle), middle);
    const Color changed = mapped(saturated, red);
    const auto luma = [](const Color& c) { return 0.299F * c[0] + 0.587F * c[1] + 0.114F * c[2]; };
    BOOST_TEST(std::abs(luma(changed) - luma(red)) < 1e-5F);
    BOOST_TEST(std::abs(changed[0] - red[0]) > 0.001F);
}

}  // namespace
