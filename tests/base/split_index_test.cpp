// SPDX-License-Identifier: MIT
#define BOOST_TEST_MODULE base_split_index
#include <boost/test/unit_test.hpp>

#include <bantam/base/split_index.hpp>

#include <cstdint>

namespace {

template <std::int64_t Size>
void splits() {
    for (const std::int64_t i : {std::int64_t{0}, Size - 1, Size, 7 * Size + 1, (std::int64_t{1} << 31) - 1,
                                 std::int64_t{1} << 31, (std::int64_t{1} << 40) + 5}) {
        const bantam::SplitIndex<Size> split{i};
        BOOST_TEST(split.whole == i / Size);
        BOOST_TEST(split.rest == i % Size);
    }
}

}  // namespace

BOOST_AUTO_TEST_CASE(indices_are_split_in_32_and_in_64_bits) {
    splits<1>();
    splits<3>();
    splits<80>();
    splits<1'000'003>();
    splits<(std::int64_t{1} << 33) + 1>();
}
