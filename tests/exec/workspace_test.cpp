// SPDX-License-Identifier: MIT
// Regions of a workspace: nearly all static assertions.
#define BOOST_TEST_MODULE exec_workspace
#include <boost/test/unit_test.hpp>

#include <bantam/exec/workspace.hpp>

#include <array>
#include <cstddef>
#include <vector>

using namespace bantam;
using exec::RegionSize;

namespace {

enum Region : std::size_t { map, sums, gradient, region_count };

template <class S>
constexpr auto layout = exec::make_workspace<S>([](bool training) {
    std::array<RegionSize, region_count> regions{};
    regions[map] = {5, 3};
    regions[sums] = {0, 2};
    if (training) regions[gradient] = {7, 0};
    return regions;
});

// Sizes are rounded up to 16 bytes, and what inference does not need takes nothing.
static_assert(layout<float>.per_sample(true) == 8 + 8 && layout<float>.fixed(true) == 4 + 4);
static_assert(layout<float>.per_sample(false) == 8 && layout<float>.fixed(false) == 4 + 4);
static_assert(layout<double>.per_sample(true) == 6 + 8 && layout<double>.fixed(true) == 4 + 2);
static_assert(layout<Bfloat16>.per_sample(true) == 8 + 8 && layout<Bfloat16>.fixed(true) == 8 + 8);

template <class S>
constexpr bool regions_follow_each_other_aligned() {
    for (const bool training : {false, true})
        for (Index count = 0; count < 20; ++count) {
            const auto at = [&](std::size_t region) { return layout<S>.offset(region, training, count); };
            if (at(map) != 0 || at(map) + 5 * count + 3 > at(sums) || at(sums) + 2 > at(gradient)) return false;
            const Index end = layout<S>.per_sample(training) * count + layout<S>.fixed(training);
            if (at(gradient) + (training ? 7 * count : 0) > end) return false;
            for (const std::size_t region : {map, sums, gradient})
                if (at(region) * static_cast<Index>(sizeof(S)) % 16 != 0) return false;
        }
    return true;
}
static_assert(regions_follow_each_other_aligned<float>() && regions_follow_each_other_aligned<double>() &&
              regions_follow_each_other_aligned<Bfloat16>());

static_assert(exec::alternating_sizes(std::array<Index, 5>{3, 9, 4, 1, 2}) == std::array<Index, 2>{4, 9});
static_assert(exec::alternating_sizes(std::array<Index, 1>{3}) == std::array<Index, 2>{3, 0});

}  // namespace

BOOST_AUTO_TEST_CASE(a_region_is_found_in_memory) {
    struct {
        bool training = true;
        Index count = 3;
    } pass;
    std::vector<float> memory(64);
    BOOST_TEST(layout<float>.at(gradient, pass, memory.data()) == memory.data() + 8 * 3 + 4 + 4);
}
