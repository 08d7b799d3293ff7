// SPDX-License-Identifier: MIT
#define BOOST_TEST_MODULE testing_refusal
#include <boost/test/unit_test.hpp>

#include "bantam/data/testing_refusal.hpp"

#include "io/tar_writer.hpp"
#include "io/temporary_folder.hpp"

#include <filesystem>
#include <string>

using namespace bantam;
using namespace bantam_test;
namespace fs = std::filesystem;

namespace {

/// A complete data set; its pictures are only names here.
struct Fixture {
    TemporaryFolder folder;
    fs::path data = folder.path() / "food";

    Fixture() {
        for (const char* file :
             {"training/labeled/0/a.jpg", "training/unlabeled/0/b.jpg", "validation/0/c.jpg", "testing/00/d.jpg"})
            folder.write(std::string{"food/"} + file, "x");
    }

    static std::string refusal(const fs::path& path) {
        return message_of<Error>([&] { refuse_testing_folder(path); });
    }
    std::string link_refusal() const {
        return message_of<Error>([&] { refuse_testing_links(scan_homework(data)); });
    }
};

const std::string folder_message =
    ": this is the testing folder; testing pictures get no teacher logits. "
    "Name the folder that holds training/ and validation/";
const std::string link_message =
    ": leads into the testing folder, whose pictures are not to learn from; remove the link";
const std::string accepted = "nothing was thrown";

}  // namespace

BOOST_FIXTURE_TEST_CASE(the_testing_folder_is_refused_under_every_name_of_it, Fixture) {
    for (const char* name : {"testing", "test", "evaluation", "Testing", "TEST"})
        BOOST_TEST(refusal(folder.path() / name) == (folder.path() / name).string() + folder_message);
    BOOST_TEST(refusal(data / "testing") == (data / "testing").string() + folder_message);
    BOOST_TEST(refusal(data / "testing/") == (data / "testing/").string() + folder_message);
    BOOST_TEST(refusal(data / "training/../testing/.") == (data / "training/../testing/.").string() + folder_message);
}

BOOST_FIXTURE_TEST_CASE(a_folder_within_the_testing_folder_is_refused, Fixture) {
    BOOST_TEST(refusal(data / "testing/00") == (data / "testing/00").string() + folder_message);
    BOOST_TEST(refusal(data / "testing/00/deeper/still") ==
               (data / "testing/00/deeper/still").string() + folder_message);
}

BOOST_FIXTURE_TEST_CASE(a_link_to_the_testing_folder_is_refused, Fixture) {
    fs::create_directory_symlink(data / "testing", folder.path() / "pictures");
    fs::create_directory_symlink(data / "testing/00", folder.path() / "some");
    BOOST_TEST(refusal(folder.path() / "pictures") == (folder.path() / "pictures").string() + folder_message);
    BOOST_TEST(refusal(folder.path() / "some") == (folder.path() / "some").string() + folder_message);
}

BOOST_FIXTURE_TEST_CASE(a_data_set_is_accepted_wherever_it_lies, Fixture) {
    BOOST_TEST(refusal(data) == accepted);
    BOOST_TEST(refusal(data / "training") == accepted);
    // A folder for experiments is not a testing folder.
    folder.write("test/food/training/labeled/0/a.jpg", "x");
    BOOST_TEST(refusal(folder.path() / "test/food") == accepted);
    folder.write("latest/training/labeled/0/a.jpg", "x");
    BOOST_TEST(refusal(folder.path() / "latest") == accepted);
    folder.write("other/test/training/labeled/0/a.jpg", "x");
    BOOST_TEST(refusal(folder.path() / "other/test") != accepted);
    folder.write("other/test/validation/0/a.jpg", "x");
    BOOST_TEST(refusal(folder.path() / "other/test") == accepted);
    BOOST_TEST(refusal(folder.path() / "other/test/") == accepted);
}

BOOST_FIXTURE_TEST_CASE(links_among_training_pictures_to_elsewhere_are_accepted, Fixture) {
    BOOST_TEST(link_refusal() == accepted);
    folder.write("photos/e.jpg", "x");
    fs::create_symlink(folder.path() / "photos/e.jpg", data / "training/unlabeled/0/e.jpg");
    fs::create_symlink("a.jpg", data / "training/labeled/0/again.jpg");
    BOOST_TEST(link_refusal() == accepted);
}

BOOST_FIXTURE_TEST_CASE(a_linked_testing_picture_is_refused_in_every_split, Fixture) {
    for (const char* place : {"training/labeled/0/z.jpg", "training/unlabeled/0/z.jpg", "validation/0/z.jpg"}) {
        fs::create_symlink(data / "testing/00/d.jpg", data / place);
        BOOST_TEST(link_refusal() == (data / place).string() + link_message);
        fs::remove(data / place);
    }
}

BOOST_FIXTURE_TEST_CASE(a_linked_archive_of_testing_pictures_is_refused, Fixture) {
    const std::string shard = bantam_test::tar_file("a.jpg", "x") + bantam_test::tar_end;
    folder.write("photos/shard.tar", shard);
    fs::create_symlink(folder.path() / "photos/shard.tar", data / "training/unlabeled/photos.tar");
    BOOST_TEST(link_refusal() == accepted);
    fs::rename(folder.path() / "photos/shard.tar", data / "testing/own.tar");
    fs::remove(data / "training/unlabeled/photos.tar");
    fs::create_symlink(data / "testing/own.tar", data / "training/unlabeled/photos.tar");
    BOOST_TEST(link_refusal() == (data / "training/unlabeled/photos.tar/a.jpg").string() + link_message);
}

BOOST_FIXTURE_TEST_CASE(a_linked_testing_folder_is_refused_as_unlabeled_pictures, Fixture) {
    fs::create_directory_symlink(data / "testing", data / "training/unlabeled/more");
    BOOST_TEST(link_refusal() == (data / "training/unlabeled/more/00/d.jpg").string() + link_message);
}

BOOST_FIXTURE_TEST_CASE(a_testing_folder_that_is_a_link_is_recognized, Fixture) {
    folder.write("elsewhere/00/d.jpg", "x");
    fs::remove_all(data / "testing");
    fs::create_directory_symlink(folder.path() / "elsewhere", data / "testing");
    fs::create_symlink(folder.path() / "elsewhere/00/d.jpg", data / "validation/0/z.jpg");
    BOOST_TEST(link_refusal() == (data / "validation/0/z.jpg").string() + link_message);
}
