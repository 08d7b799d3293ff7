// SPDX-License-Identifier: MIT
#define BOOST_TEST_MODULE io_read_file
#include "bantam/io/read_file.hpp"

#include "io/temporary_folder.hpp"

#include <boost/test/unit_test.hpp>

namespace {

using bantam_test::message_of;
using bantam_test::TemporaryFolder;

BOOST_AUTO_TEST_CASE(the_bytes_read_are_those_written) {
    const TemporaryFolder folder;
    const std::vector<std::uint8_t> bytes{0, 1, 255, 10, 13, 26};
    BOOST_TEST(bantam::read_file(folder.write("a", bytes)) == bytes);
    BOOST_TEST(bantam::read_file(folder.write("b", "")).empty());
}

BOOST_AUTO_TEST_CASE(a_missing_file_and_a_folder_are_named) {
    const TemporaryFolder folder;
    const auto missing = folder.path() / "missing";
    BOOST_TEST(message_of<bantam::Error>([&] { bantam::read_file(missing); }) ==
               missing.string() + ": no such file; check the path");
    BOOST_TEST(message_of<bantam::Error>([&] { bantam::read_file(folder.path()); }) ==
               folder.path().string() + ": is not a regular file; name a file");
}

BOOST_AUTO_TEST_CASE(a_file_that_the_system_does_not_tell_of_is_not_missing) {
    const TemporaryFolder folder;
    const auto unknown = folder.path() / std::string(300, 'x');
    BOOST_TEST(message_of<bantam::Error>([&] { bantam::read_file(unknown); }) ==
               unknown.string() + ": cannot be read: File name too long; check its permissions");
    const auto loop = folder.path() / "loop";
    std::filesystem::create_symlink("loop", loop);
    BOOST_TEST(message_of<bantam::Error>([&] { bantam::read_file(loop); }) ==
               loop.string() + ": no such file; check the path");
}

BOOST_AUTO_TEST_CASE(reading_past_the_end_is_an_error_and_not_a_short_read) {
    const TemporaryFolder folder;
    bantam::InputFile file{folder.write("a", "12345")};
    char text[4];
    file.read(1, text, 4);
    BOOST_TEST(std::string(text, 4) == "2345");
    BOOST_TEST(message_of<bantam::Error>([&] { file.read(2, text, 4); }) ==
               file.path().string() + ": ended while being read; is another program writing it?");
}

}  // namespace
