// SPDX-License-Identifier: MIT
#define BOOST_TEST_MODULE io_hash
#include "bantam/io/hash.hpp"

#include "io/temporary_folder.hpp"

#include <boost/test/unit_test.hpp>

namespace {

BOOST_AUTO_TEST_CASE(hashes_are_the_published_xxh64_values) {
    BOOST_TEST(bantam::hash_bytes("", 0) == "ef46db3751d8e999");
    BOOST_TEST(bantam::hash_bytes("a", 1) == "d24ec4f1a98c6e5b");
    BOOST_TEST(bantam::hash_bytes("abc", 3) == "44bc2cf5ad770999");
}

BOOST_AUTO_TEST_CASE(a_file_hashed_in_chunks_has_the_hash_of_its_bytes) {
    const bantam_test::TemporaryFolder folder;
    std::string text(3'000'000, 'x');
    for (std::size_t index = 0; index < text.size(); index += 7) text[index] = char(index % 97);
    const auto path = folder.write("big", text);
    BOOST_TEST(bantam::hash_file(path) == bantam::hash_bytes(text.data(), text.size()));
    text[2'000'000] ^= 1;
    BOOST_TEST(bantam::hash_file(path) != bantam::hash_bytes(text.data(), text.size()));
}

BOOST_AUTO_TEST_CASE(leading_zeros_are_kept) { BOOST_TEST(bantam::hash_text(0x0123) == "0000000000000123"); }

}  // namespace
