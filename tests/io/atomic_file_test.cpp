// SPDX-License-Identifier: MIT
#define BOOST_TEST_MODULE io_atomic_file
#include "bantam/io/atomic_file.hpp"

#include "io/temporary_folder.hpp"

#include <boost/test/unit_test.hpp>
#include <stdexcept>

#include <csignal>
#include <string>
#include <vector>

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

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

BOOST_AUTO_TEST_CASE(a_header_that_is_known_last_replaces_what_stood_in_its_place) {
    const TemporaryFolder folder;
    bantam::AtomicFile file{folder.path() / "a.txt"};
    file.write("....one");
    file.overwrite(0, "head");
    file.write(" two");
    file.commit();
    BOOST_TEST(contents_of(folder.path() / "a.txt") == "headone two");
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

BOOST_AUTO_TEST_CASE(two_writers_of_one_name_both_write_whole_files) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "a.bin";
    const std::string all_a(100'000, 'A'), all_b(30'000, 'B');
    bantam::AtomicFile a{path}, b{path};
    a.write(all_a);
    b.write(all_b);
    a.commit();
    BOOST_TEST((contents_of(path) == all_a));
    b.commit();
    BOOST_TEST((contents_of(path) == all_b));
    BOOST_TEST(entry_count(folder.path()) == 1U);
}

BOOST_AUTO_TEST_CASE(two_processes_that_write_one_file_never_fail_and_never_mix) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "a.bin";
    bantam::write_file(path, std::string(300'000, 'x'));
    std::vector<pid_t> writers;
    for (const char letter : {'a', 'b', 'c'}) {
        const pid_t child = fork();
        if (child == 0) {
            try {
                for (int i = 0; i < 60; ++i) bantam::write_file(path, std::string(300'000, letter));
            } catch (const bantam::Error&) {
                _exit(1);
            }
            _exit(0);
        }
        writers.push_back(child);
    }
    for (int i = 0; i < 200; ++i) {
        const std::string seen = contents_of(path);
        BOOST_TEST_REQUIRE(seen.size() == 300'000U);
        BOOST_TEST_REQUIRE(seen.find_first_not_of(seen[0]) == std::string::npos);
    }
    for (const pid_t writer : writers) {
        int status = 0;
        waitpid(writer, &status, 0);
        BOOST_TEST(status == 0);
    }
    BOOST_TEST(entry_count(folder.path()) == 1U);
}

BOOST_AUTO_TEST_CASE(leftovers_of_killed_processes_are_removed_and_nothing_else) {
    const TemporaryFolder folder;
    const pid_t child = fork();
    if (child == 0) {
        bantam::AtomicFile file{folder.path() / "a.txt"};
        file.write("half");
        kill(getpid(), SIGKILL);
    }
    waitpid(child, nullptr, 0);
    BOOST_TEST(entry_count(folder.path()) == 1U);
    bantam::AtomicFile unfinished{folder.path() / "a.txt"};
    folder.write("a.txt.partial", "mine");
    folder.write("a.txt.0123456789abcdeX.partial", "mine");
    folder.write("b.txt.0123456789abcdef.partial", "another file's");
    std::filesystem::create_symlink("a.txt.partial", folder.path() / "a.txt.00000000000000aa.partial");
    bantam::write_file(folder.path() / "a.txt", "new");
    // The three, the link, the new file, and the one that is being written.
    BOOST_TEST(entry_count(folder.path()) == 6U);
    unfinished.write("newer");
    unfinished.commit();
    BOOST_TEST(contents_of(folder.path() / "a.txt") == "newer");
    BOOST_TEST(contents_of(folder.path() / "a.txt.partial") == "mine");
}

BOOST_AUTO_TEST_CASE(no_link_is_followed_and_the_mode_is_that_of_the_umask) {
    const TemporaryFolder folder;
    const auto victim = folder.write("victim", "precious");
    std::filesystem::create_symlink(victim, folder.path() / "a.txt.partial");
    std::filesystem::create_symlink(victim, folder.path() / "a.txt");
    const mode_t before = umask(027);
    bantam::write_file(folder.path() / "a.txt", "new");
    umask(before);
    BOOST_TEST(contents_of(victim) == "precious");
    BOOST_TEST(contents_of(folder.path() / "a.txt") == "new");
    struct stat status{};
    BOOST_REQUIRE(lstat((folder.path() / "a.txt").c_str(), &status) == 0);
    BOOST_TEST(S_ISREG(status.st_mode));
    BOOST_TEST((status.st_mode & 0777) == 0640U);
}

}  // namespace
