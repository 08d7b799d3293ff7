// SPDX-License-Identifier: MIT
#define BOOST_TEST_MODULE data_folders
#include "bantam/data/folders.hpp"

#include "io/temporary_folder.hpp"

#include <boost/test/unit_test.hpp>
#include <type_traits>

namespace {

using bantam::scan_homework;
using bantam_test::message_of;
using bantam_test::TemporaryFolder;
using Paths = std::vector<std::string>;

void touch(const TemporaryFolder& folder, std::initializer_list<const char*> files) {
    for (const char* file : files) folder.write(file, "");
}

std::string refusal(const TemporaryFolder& folder, int classes = 0) {
    const std::string message = message_of<bantam::Error>([&] { scan_homework(folder.path(), classes); });
    const std::string start = folder.path().string();
    BOOST_TEST(message.starts_with(start));
    return message.substr(std::min(start.size(), message.size()));
}

void make_folder_layout(const TemporaryFolder& folder) {
    touch(folder,
          {"training/labeled/01/b.jpg", "training/labeled/01/a.jpg", "training/labeled/00/z.jpg",
           "training/labeled/00/.hidden", "training/unlabeled/00/2.jpg", "training/unlabeled/00/10.jpg",
           "validation/01/v.jpg", "validation/00/w.jpg", "testing/00/0002.jpg", "testing/00/0001.jpg", ".DS_Store"});
}

BOOST_AUTO_TEST_CASE(the_folder_layout_is_listed_in_name_order) {
    const TemporaryFolder folder;
    make_folder_layout(folder);
    const auto found = scan_homework(folder.path(), 2);
    BOOST_TEST(found.classes == (Paths{"00", "01"}), boost::test_tools::per_element());
    BOOST_TEST(found.training.paths ==
                   (Paths{"training/labeled/00/z.jpg", "training/labeled/01/a.jpg", "training/labeled/01/b.jpg"}),
               boost::test_tools::per_element());
    BOOST_TEST(found.training.labels == (std::vector<int>{0, 1, 1}), boost::test_tools::per_element());
    BOOST_TEST(found.unlabeled.paths == (Paths{"training/unlabeled/00/10.jpg", "training/unlabeled/00/2.jpg"}),
               boost::test_tools::per_element());
    BOOST_TEST(found.validation.labels == (std::vector<int>{0, 1}), boost::test_tools::per_element());
    BOOST_TEST(found.testing.paths() == (Paths{"testing/00/0001.jpg", "testing/00/0002.jpg"}),
               boost::test_tools::per_element());
    BOOST_TEST(found.ignored.empty());
}

BOOST_AUTO_TEST_CASE(the_flat_layout_is_listed_by_label_and_name) {
    const TemporaryFolder folder;
    touch(folder, {"training/10_0.jpg", "training/2_1.jpg", "training/2_0.jpg", "training/0_7.jpg", "training/1_0.jpg",
                   "training/notes.txt", "training/unlabeled/x.jpg", "validation/10_3.jpg", "validation/0_3.jpg",
                   "test/1.jpg", "test/0.jpg"});
    for (const int label : {3, 4, 5, 6, 7, 8, 9}) folder.write("training/" + std::to_string(label) + "_0.jpg", "");
    const auto found = scan_homework(folder.path(), 11);
    BOOST_TEST(found.classes.size() == 11U);
    BOOST_TEST(found.classes[10] == "10");
    BOOST_TEST(found.training.paths[2] == "training/2_0.jpg");
    BOOST_TEST(found.training.paths.back() == "training/10_0.jpg");
    BOOST_TEST(found.training.labels.back() == 10);
    BOOST_TEST(found.validation.labels == (std::vector<int>{0, 10}), boost::test_tools::per_element());
    BOOST_TEST(found.unlabeled.paths == (Paths{"training/unlabeled/x.jpg"}), boost::test_tools::per_element());
    BOOST_TEST(found.testing.paths() == (Paths{"test/0.jpg", "test/1.jpg"}), boost::test_tools::per_element());
    BOOST_TEST(found.ignored == (Paths{"training/notes.txt"}), boost::test_tools::per_element());
    BOOST_TEST(scan_homework(folder.path()).classes.size() == 11U);
}

BOOST_AUTO_TEST_CASE(class_names_may_be_words_and_plain_numbers_count_by_value) {
    const TemporaryFolder words;
    touch(words,
          {"training/labeled/soup/a.jpg", "training/labeled/bread/a.jpg", "validation/soup/a.jpg", "testing/a.jpg"});
    BOOST_TEST(scan_homework(words.path()).classes == (Paths{"bread", "soup"}), boost::test_tools::per_element());
    const TemporaryFolder numbers;
    touch(numbers, {"training/labeled/10/a.jpg", "training/labeled/2/a.jpg", "validation/2/a.jpg", "testing/a.jpg"});
    BOOST_TEST(scan_homework(numbers.path()).classes == (Paths{"2", "10"}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(the_layout_of_image_folders_is_listed_by_class_and_name) {
    const TemporaryFolder folder;
    touch(folder, {"train/soup/b.jpg", "train/soup/a.jpg", "train/bread/a.jpg", "train/unlabeled/x.jpg",
                   "val/soup/v.jpg", "val/bread/v.jpg", "test/soup/1.jpg", "test/bread/2.jpg"});
    const auto found = scan_homework(folder.path(), 2);
    BOOST_TEST(found.classes == (Paths{"bread", "soup"}), boost::test_tools::per_element());
    BOOST_TEST(found.training.paths == (Paths{"train/bread/a.jpg", "train/soup/a.jpg", "train/soup/b.jpg"}),
               boost::test_tools::per_element());
    BOOST_TEST(found.training.labels == (std::vector<int>{0, 1, 1}), boost::test_tools::per_element());
    BOOST_TEST(found.unlabeled.paths == (Paths{"train/unlabeled/x.jpg"}), boost::test_tools::per_element());
    BOOST_TEST(found.validation.paths == (Paths{"val/bread/v.jpg", "val/soup/v.jpg"}),
               boost::test_tools::per_element());
    BOOST_TEST(found.testing.paths() == (Paths{"test/bread/2.jpg", "test/soup/1.jpg"}),
               boost::test_tools::per_element());
    touch(folder, {"val/cake/v.jpg"});
    BOOST_TEST(refusal(folder) == "/val/cake: there is no such class among the training folders; rename or remove it");
}

BOOST_AUTO_TEST_CASE(missing_parts_are_named) {
    const TemporaryFolder folder;
    BOOST_TEST(refusal(folder) == "/training: no such folder; name the folder that holds training/ and validation/");
    make_folder_layout(folder);
    BOOST_TEST(message_of<bantam::Error>([&] { scan_homework(folder.path() / "none"); }) ==
               (folder.path() / "none").string() +
                   ": no such folder; name the folder that holds training/ and validation/");
    std::filesystem::remove_all(folder.path() / "training/unlabeled");
    BOOST_TEST(scan_homework(folder.path()).unlabeled.paths.empty());
    std::filesystem::remove_all(folder.path() / "testing");
    BOOST_TEST(scan_homework(folder.path()).testing.paths().empty());
    std::filesystem::remove_all(folder.path() / "validation");
    BOOST_TEST(refusal(folder) == "/validation: no such folder; the data set is incomplete; unpack it again");
}

BOOST_AUTO_TEST_CASE(the_folder_above_the_data_gets_a_hint) {
    const TemporaryFolder folder;
    touch(folder, {"food-11/training/0_0.jpg"});
    BOOST_TEST(refusal(folder) ==
               "/training: no such folder; did you mean " + (folder.path() / "food-11").string() + "?");
}

BOOST_AUTO_TEST_CASE(another_class_count_than_expected_is_refused) {
    const TemporaryFolder folder;
    make_folder_layout(folder);
    BOOST_TEST(refusal(folder, 11) ==
               "/training/labeled: has 2 classes, expected 11; choose the data folder this program "
               "was built for, or build it for 2");
    const TemporaryFolder flat;
    touch(flat, {"training/0_0.jpg", "training/1_0.jpg", "validation/0_0.jpg", "testing/a.jpg"});
    BOOST_TEST(refusal(flat, 3).starts_with("/training: has 2 classes, expected 3;"));
}

BOOST_AUTO_TEST_CASE(a_label_out_of_range_is_named) {
    const TemporaryFolder folder;
    touch(folder, {"training/0_0.jpg", "training/1_0.jpg", "validation/7_0.jpg", "testing/a.jpg"});
    BOOST_TEST(refusal(folder, 2) ==
               "/validation/7_0.jpg: its label 7 is out of range, expected 0 to 1; rename or remove it");
    touch(folder, {"training/900000_0.jpg"});
    BOOST_TEST(refusal(folder).starts_with("/training: has 3 classes, expected 900001;"));
}

BOOST_AUTO_TEST_CASE(classes_without_pictures_and_unknown_classes_are_refused) {
    const TemporaryFolder folder;
    make_folder_layout(folder);
    std::filesystem::create_directories(folder.path() / "training/labeled/02");
    BOOST_TEST(refusal(folder) == "/training: class '02' has no pictures; is the data set complete?");
    std::filesystem::remove_all(folder.path() / "training/labeled/02");
    touch(folder, {"validation/03/a.jpg"});
    BOOST_TEST(refusal(folder) ==
               "/validation/03: there is no such class among the training folders; rename or remove it");
}

BOOST_AUTO_TEST_CASE(folders_without_any_picture_say_what_was_expected) {
    const TemporaryFolder folder;
    std::filesystem::create_directories(folder.path() / "training");
    std::filesystem::create_directories(folder.path() / "validation");
    BOOST_TEST(refusal(folder) ==
               "/training: has no labeled pictures; expected labeled/<class>/<picture>, <class>/<picture> or "
               "<label>_<number>.jpg");
    touch(folder, {"training/labeled/00/a.jpg"});
    BOOST_TEST(refusal(folder) ==
               "/validation: has no labeled pictures; expected "
               "<class>/<picture> or <label>_<number>.jpg");
}

BOOST_AUTO_TEST_CASE(a_link_back_to_a_folder_above_ends_in_an_error) {
    const TemporaryFolder folder;
    make_folder_layout(folder);
    std::filesystem::create_directory_symlink(folder.path() / "testing", folder.path() / "testing/00/loop");
    BOOST_TEST(bantam_test::contains(refusal(folder), "folders are nested too deeply"));
}

BOOST_AUTO_TEST_CASE(control_characters_of_names_are_escaped) {
    const TemporaryFolder folder;
    make_folder_layout(folder);
    touch(folder, {"validation/0\n1/a.jpg"});
    BOOST_TEST(bantam_test::contains(refusal(folder), "/validation/0\\x0a1: there is no such class"));
}

BOOST_AUTO_TEST_CASE(only_pictures_count) {
    const TemporaryFolder folder;
    make_folder_layout(folder);
    const auto before = scan_homework(folder.path(), 2);
    touch(folder,
          {"testing/00/desktop.ini", "testing/00/000_labels.csv", "testing/00/@eaDir/0001.jpg", "testing/empty",
           "testing/__MACOSX/00/0001.jpg", "training/labeled/__MACOSX/00.jpg", "training/labeled/00/notes.txt",
           "training/labeled/readme.md", "training/unlabeled/00/x.part", "validation/00/.ipynb_checkpoints/v.jpg"});
    folder.write("testing/00/Thumbs.db", "\xd0\xcf\x11\xe0");
    folder.write("testing/00/copy.jpg~", "\xff\xd8\xff\xe0");
    folder.write("testing/00/copy.jpg.part", "\xff\xd8\xff\xe0");
    const auto found = scan_homework(folder.path(), 2);
    BOOST_TEST(found.training.paths == before.training.paths, boost::test_tools::per_element());
    BOOST_TEST(found.unlabeled.paths == before.unlabeled.paths, boost::test_tools::per_element());
    BOOST_TEST(found.validation.paths == before.validation.paths, boost::test_tools::per_element());
    BOOST_TEST(found.testing.paths() == before.testing.paths(), boost::test_tools::per_element());
    BOOST_TEST(found.ignored ==
                   (Paths{"training/labeled/__MACOSX/", "training/labeled/readme.md", "training/labeled/00/notes.txt",
                          "training/unlabeled/00/x.part", "testing/__MACOSX/", "testing/empty",
                          "testing/00/000_labels.csv", "testing/00/@eaDir/", "testing/00/Thumbs.db",
                          "testing/00/copy.jpg.part", "testing/00/copy.jpg~", "testing/00/desktop.ini"}),
               boost::test_tools::per_element());
    // A damaged picture keeps its row, and a picture is known by its bytes where its name does not tell.
    touch(folder, {"testing/00/0000.PNG", "testing/00/0003.webp"});
    folder.write("testing/00/0004", "\xff\xd8\xff\xe0");
    BOOST_TEST(scan_homework(folder.path(), 2).testing.paths() ==
                   (Paths{"testing/00/0000.PNG", "testing/00/0001.jpg", "testing/00/0002.jpg", "testing/00/0003.webp",
                          "testing/00/0004"}),
               boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_name_that_is_not_utf8_is_named) {
    for (const char* place :
         {"training/labeled/00/\xa6^.jpg", "training/unlabeled/\xc0\xaf/0.jpg", "validation/00/\xed\xa0\x80.jpg",
          "testing/00/a\xf5.jpg", "training/labeled/\xb4/x.jpg"}) {
        const TemporaryFolder folder;
        make_folder_layout(folder);
        touch(folder, {place});
        BOOST_TEST(bantam_test::contains(refusal(folder), "' is not valid UTF-8; rename it"));
    }
    const TemporaryFolder folder;
    make_folder_layout(folder);
    touch(folder, {"testing/00/\x1b\xe4.jpg"});
    BOOST_TEST(refusal(folder) == "/testing/00: the name '\\x1b\\xe4.jpg' is not valid UTF-8; rename it");
}

static_assert(!std::is_convertible_v<bantam::TestSplit, bantam::LabeledSplit>);
static_assert(!std::is_convertible_v<bantam::TestSplit, bantam::UnlabeledSplit>);

}  // namespace
