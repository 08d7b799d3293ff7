// SPDX-License-Identifier: MIT
#define BOOST_TEST_MODULE io_atomic_file
#include "bantam/io/atomic_file.hpp"

#include "io/temporary_folder.hpp"

#include <boost/test/unit_test.hpp>
#include <stdexcept>

#if defined(__unix__) || defined(__APPLE__)
#include <sys/resource.h>
#include <csignal>
#endif

namespace {

using bantam_test::contains;
using bantam_test::contents_of;
using bantam_test::entry_count;
using bantam_test::message_of;
using bantam_test::TemporaryFolder;

BOOST_AUTO_TEST_CASE(a_committed_file_is_complete_and_leaves_no_partial_one) {
    const TemporaryFolder folder;
    bantam::write_file(folder.path() / "a.txt", "first");
    bantam::write_file(folder.path() / "a.txt", "second");
    BOOST_TEST(contents_of(folder.path() / "a.txt") == "second");
    BOOST_TEST(entry_count(folder.path()) == 1U);
}

BOOST_AUTO_TEST_CASE(an_interrupted_write_keeps_the_older_file) {
    const TemporaryFolder folder;
    bantam::write_file(folder.path() / "a.txt", "old");
    BOOST_CHECK_THROW(
        {
            bantam::AtomicFile file{folder.path() / "a.txt"};
            file.write("half of the new");
            throw std::runtime_error{"power cut"};
        },
        std::runtime_error);
    BOOST_TEST(contents_of(folder.path() / "a.txt") == "old");
    BOOST_TEST(entry_count(folder.path()) == 1U);
}

BOOST_AUTO_TEST_CASE(a_missing_folder_is_named_with_its_cause) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "nowhere" / "a.txt";
    const std::string message = message_of<bantam::Error>([&] { bantam::write_file(path, "x"); });
    BOOST_TEST(message == path.string() +
                              ": cannot be created: No such file or directory; check that the "
                              "folder exists and that you may write to it");
}

BOOST_AUTO_TEST_CASE(a_folder_or_device_is_never_replaced) {
    const TemporaryFolder folder;
    std::filesystem::create_directory(folder.path() / "sub");
    for (const auto& path : {folder.path() / "sub", std::filesystem::path{"/dev/null"}}) {
        const std::string message = message_of<bantam::Error>([&] { bantam::write_file(path, "x"); });
        BOOST_TEST(contains(message, path.string()));
        BOOST_TEST(contains(message, "is not a regular file"));
    }
}

#if defined(__unix__) || defined(__APPLE__)
BOOST_AUTO_TEST_CASE(a_full_disk_is_reported_and_the_older_file_kept) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "a.bin";
    bantam::write_file(path, "old");

    // A limit on file sizes simulates a full disk: the write is short.
    rlimit before{};
    BOOST_REQUIRE(getrlimit(RLIMIT_FSIZE, &before) == 0);
    const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
    rlimit small = before;
    small.rlim_cur = 4096;
    BOOST_REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
    const std::string big(100'000, 'x');
    const std::string message = message_of<bantam::Error>([&] { bantam::write_file(path, big); });
    BOOST_REQUIRE(setrlimit(RLIMIT_FSIZE, &before) == 0);
    std::signal(SIGXFSZ, old_handler);

    BOOST_TEST(message == path.string() +
                              ": could not be written completely: File too large; free some disk "
                              "space or choose another folder");
    BOOST_TEST(contents_of(path) == "old");
    BOOST_TEST(entry_count(folder.path()) == 1U);
}
#endif

}  // namespace
