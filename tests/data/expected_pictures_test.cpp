// SPDX-License-Identifier: MIT
#define BOOST_TEST_MODULE expected_pictures
#include <bantam/data/expected_pictures.hpp>

#include <bantam/io/hash.hpp>

#include "data/loaded_pictures.hpp"

#include <boost/test/unit_test.hpp>

#include <string>
#include <vector>

namespace {

using namespace bantam_test;

BOOST_AUTO_TEST_CASE(pictures_are_listed_in_the_order_of_the_logits_file) {
    const LoadedPictures pictures{2, 1};
    const auto expected = bantam::expected_pictures(pictures.labeled, pictures.unlabeled, pictures.labeled, {"0", "1"});
    BOOST_TEST(expected.paths ==
               (std::vector<std::string>{"1000.png", "1001.png", "1002.png", "1000.png", "1001.png"}));
    BOOST_TEST(expected.hashes[2] == bantam::hash_file(pictures.folder.path() / "1002.png"));
    BOOST_TEST(expected.stored_size == LoadedPictures::stored_size);
}

}  // namespace
