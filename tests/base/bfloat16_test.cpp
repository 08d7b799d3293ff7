// SPDX-License-Identifier: MIT
// A float rounds to the nearest of the values that have 8 bits of precision, or 11 in the range of halves.
#define BOOST_TEST_MODULE base_bfloat16
#include <boost/test/unit_test.hpp>

#include <bantam/base/bfloat16.hpp>
#include <bantam/base/float16.hpp>
#include <bantam/base/random.hpp>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

using bantam::Bfloat16;
using bantam::Compute;
using bantam::Float16;

namespace {

Bfloat16 from_bits(std::uint32_t bits) {
    Bfloat16 value;
    value.bits = static_cast<std::uint16_t>(bits);
    return value;
}

}  // namespace

static_assert(sizeof(Bfloat16) == 2);
static_assert(std::is_trivially_copyable_v<Bfloat16> && std::is_trivially_default_constructible_v<Bfloat16>);
static_assert(Bfloat16{1.0f}.bits == 0x3f80 && Bfloat16{-2.0f}.bits == 0xc000);
static_assert(std::is_same_v<Compute<Bfloat16>, float> && std::is_same_v<Compute<float>, float> &&
              std::is_same_v<Compute<double>, double>);

BOOST_AUTO_TEST_CASE(every_value_survives_conversion_to_float_and_back) {
    for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
        const Bfloat16 value = from_bits(bits);
        if (std::isnan(float{value}))
            BOOST_TEST(std::isnan(float{Bfloat16{float{value}}}));
        else
            BOOST_TEST(Bfloat16{float{value}}.bits == bits);
    }
}

BOOST_AUTO_TEST_CASE(rounds_to_nearest_ties_to_even) {
    // Up to the largest one, whose neighbor is infinite.
    for (std::uint32_t bits = 0; bits < 0x7f80; ++bits) {
        const std::uint32_t even = bits + bits % 2;
        for (const std::uint32_t sign : {0x0u, 0x80000000u}) {
            const auto rounded = [&](std::uint32_t below) {
                return Bfloat16{std::bit_cast<float>(sign | bits << 16 | below)}.bits - (sign >> 16);
            };
            BOOST_TEST(rounded(0x0001) == bits);
            BOOST_TEST(rounded(0x7fff) == bits);
            BOOST_TEST(rounded(0x8000) == even);
            BOOST_TEST(rounded(0x8001) == bits + 1);
            BOOST_TEST(rounded(0xffff) == bits + 1);
        }
    }
}

BOOST_AUTO_TEST_CASE(the_error_is_at_most_half_a_unit) {
    bantam::Random random{5, 1};
    for (int i = 0; i < 100'000; ++i) {
        const auto value = static_cast<float>(random.uniform(-100, 100));
        BOOST_TEST(std::abs(float{Bfloat16{value}} - value) <= std::abs(value) / 256);
    }
}

BOOST_AUTO_TEST_CASE(infinities_and_nans_are_kept) {
    constexpr float infinity = std::numeric_limits<float>::infinity();
    BOOST_TEST(float{Bfloat16{infinity}} == infinity);
    BOOST_TEST(float{Bfloat16{-infinity}} == -infinity);
    BOOST_TEST(float{Bfloat16{std::numeric_limits<float>::max()}} == infinity);
    for (const std::uint32_t bits : {0x7f800001u, 0x7fffffffu, 0xff80ffffu, 0xffffffffu, 0x7fc00000u})
        BOOST_TEST(std::isnan(float{Bfloat16{std::bit_cast<float>(bits)}}));
}

static_assert(sizeof(Float16) == 2 && std::is_trivially_copyable_v<Float16>);
static_assert(Float16{1.0f}.bits == 0x3c00 && Float16{-2.0f}.bits == 0xc000 && Float16{0x1p-24f}.bits == 1);

BOOST_AUTO_TEST_CASE(every_half_survives_conversion_to_float_and_back) {
    for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
        Float16 value;
        value.bits = static_cast<std::uint16_t>(bits);
        if (std::isnan(float{value}))
            BOOST_TEST(std::isnan(float{Float16{float{value}}}));
        else
            BOOST_TEST(Float16{float{value}}.bits == bits);
    }
}

BOOST_AUTO_TEST_CASE(halves_round_to_nearest_ties_to_even) {
    // Between two neighbors, subnormal ones and the last one below infinity (65504 and 2^16) included.
    for (std::uint16_t bits = 0; bits < 0x7c00; ++bits) {
        Float16 below, above;
        below.bits = bits;
        above.bits = static_cast<std::uint16_t>(bits + 1);
        const float next = bits == 0x7bff ? 0x1p16f : float{above};
        const float middle = (float{below} + next) / 2;
        for (const float sign : {1.0f, -1.0f}) {
            const auto rounded = [&](float value) { return Float16{sign * value}.bits & 0x7fff; };
            BOOST_TEST(rounded(middle) == bits + bits % 2);
            BOOST_TEST(rounded(std::nextafter(middle, 0.0f)) == bits);
            BOOST_TEST(rounded(std::nextafter(middle, 1e9f)) == bits + 1);
        }
    }
    BOOST_TEST(Float16{std::numeric_limits<float>::max()}.bits == 0x7c00);
    BOOST_TEST(Float16{-std::numeric_limits<float>::infinity()}.bits == 0xfc00);
}
