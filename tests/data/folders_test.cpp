// SPDX-License-Identifier: MIT
#define BOOST_TEST_MODULE data_folders
#include "bantam/data/folders.hpp"

#include "io/tar_writer.hpp"
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
               "/training: has no labeled pictures; expected labeled/<class>/<picture>, <class>/<picture>, "
               "<label>_<number>.jpg, or .tar files with a .cls file per picture");
    touch(folder, {"training/labeled/00/a.jpg"});
    BOOST_TEST(refusal(folder) ==
               "/validation: has no labeled pictures; expected "
               "<class>/<picture>, <label>_<number>.jpg, or .tar files with a .cls file per picture");
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

using bantam_test::pax_record;
using bantam_test::tar_end;
using bantam_test::tar_file;
using bantam_test::tar_header;

BOOST_AUTO_TEST_CASE(shards_with_class_files_are_read_as_webdataset_writes_them) {
    const TemporaryFolder folder;
    folder.write("train/train-000001.tar", tar_file("./000010.cls", "1\n") + tar_file("./000010.jpg", "x") +
                                               tar_file("./000011.png", "x") + tar_file("./000011.json", "{}") +
                                               tar_end);
    folder.write("train/train-000000.tar",
                 tar_header("dir/", 0, '5') + tar_file("dir/2.jpg", "x") + tar_file("dir/2.cls", " 0") +
                     tar_file("3.seg.png", "x") + tar_file("3.jpg", "x") + tar_file("3.txt", "a caption") +
                     tar_file("3.cls", "1") + tar_file("holiday.4.jpg", "x") + tar_file("holiday.cls", "0") +
                     tar_file("._3.jpg", "x") + tar_file("README", "x") + tar_header("5.jpg", 0, '2') + tar_end);
    folder.write("train/unlabeled/more.tar", tar_file("a.jpg", "x") + tar_file("a.cls", "never read") + tar_end);
    folder.write("train/unlabeled/b.jpg", "x");
    folder.write("val/val.tar", tar_file("1.jpg", "x") + tar_file("1.cls", "1") + tar_file("2.jpg", "x") + tar_end);
    folder.write("test/test.tar", tar_file("1.jpg", "x") + tar_file("1.cls", "9999999") + tar_end);
    const auto found = scan_homework(folder.path(), 2);
    BOOST_TEST(found.classes == (Paths{"0", "1"}), boost::test_tools::per_element());
    BOOST_TEST(
        found.training.paths == (Paths{"train/train-000000.tar/dir/2.jpg", "train/train-000000.tar/holiday.4.jpg",
                                       "train/train-000000.tar/3.jpg", "train/train-000001.tar/000010.jpg"}),
        boost::test_tools::per_element());
    BOOST_TEST(found.training.labels == (std::vector<int>{0, 0, 1, 1}), boost::test_tools::per_element());
    BOOST_TEST(found.unlabeled.paths == (Paths{"train/train-000001.tar/000011.png", "train/unlabeled/b.jpg",
                                               "train/unlabeled/more.tar/a.jpg"}),
               boost::test_tools::per_element());
    BOOST_TEST(found.validation.paths == (Paths{"val/val.tar/1.jpg"}), boost::test_tools::per_element());
    BOOST_TEST(found.validation.labels == (std::vector<int>{1}), boost::test_tools::per_element());
    BOOST_TEST(found.testing.paths() == (Paths{"test/test.tar/1.jpg"}), boost::test_tools::per_element());
    BOOST_TEST(found.ignored == (Paths{"train/train-000000.tar/README", "val/val.tar/2.jpg"}),
               boost::test_tools::per_element());
    // The same in training/labeled/.
    std::filesystem::create_directory(folder.path() / "train/labeled");
    for (const char* name : {"train-000000.tar", "train-000001.tar"})
        std::filesystem::rename(folder.path() / "train" / name, folder.path() / "train/labeled" / name);
    BOOST_TEST(scan_homework(folder.path(), 2).training.labels == found.training.labels);
}

BOOST_AUTO_TEST_CASE(an_archive_in_a_class_folder_holds_pictures_of_that_class) {
    const TemporaryFolder folder;
    make_folder_layout(folder);
    folder.write("training/labeled/00/more.tar", tar_file("1.jpg", "x") + tar_file("1.cls", "1") + tar_end);
    const auto found = scan_homework(folder.path(), 2);
    BOOST_TEST(found.training.paths[0] == "training/labeled/00/more.tar/1.jpg");
    BOOST_TEST(found.training.labels[0] == 0);
    folder.write("validation/shard.tar", tar_file("1.jpg", "x") + tar_end);
    BOOST_TEST(refusal(folder) ==
               "/validation/shard.tar: lies beside class folders, or training has some; put it into the folder of its "
               "class");
}

/// The names in an archive of these bytes, or the refusal behind the archive's name.
std::string index_of(const std::string& bytes) {
    const TemporaryFolder folder;
    const auto path = folder.write("a.tar", bytes);
    std::string names;
    const std::string message = message_of<bantam::Error>([&] {
        bantam::InputFile file{path};
        for (const auto& [name, position, size] : bantam::read_tar_index(file))
            names += name + '=' + bytes.substr(position, size) + ' ';
    });
    return message == "nothing was thrown" ? names : message.substr(std::min(path.string().size(), message.size()));
}

BOOST_AUTO_TEST_CASE(archives_of_every_tar_are_read) {
    BOOST_TEST(index_of(tar_file("a", "1", '\0') + tar_file("b", "", '7') + tar_end + tar_end) == "a=1 b= ");
    BOOST_TEST(index_of(tar_file("b", "1", '0', "a") + tar_end.substr(512)) == "a/b=1 ");
    const std::string longest(300, 'n');
    BOOST_TEST(index_of(tar_file("././@LongLink", longest + '\0', 'L') + tar_file("n", "1") + tar_file("c", "2") +
                        tar_end) == longest + "=1 c=2 ");
    BOOST_TEST(index_of(tar_file("g", pax_record("comment", "all"), 'g') +
                        tar_file("x", pax_record("mtime", "1.5") + pax_record("path", "./" + longest), 'x') +
                        tar_file("n", "1") + tar_file("c", "2") + tar_end) == longest + "=1 c=2 ");
    const std::string large = std::string{"\x80"} + std::string(10, '\0') + '\3';
    BOOST_TEST(index_of(tar_header("a", 0, '0', {}, large) + "123" + std::string(509, '\0') + tar_end) == "a=123 ");
    BOOST_TEST(index_of(tar_file("x", pax_record("size", "3"), 'x') + tar_header("a", 0) + "123" +
                        std::string(509, '\0') + tar_end) == "a=123 ");
    // The size of an extended header is that of the file, not of another header before it.
    BOOST_TEST(index_of(tar_file("x", pax_record("size", "3"), 'x') +
                        tar_file("././@LongLink", std::string{"long name"} + '\0', 'L') + tar_header("a", 0) + "123" +
                        std::string(509, '\0') + tar_end) == "long name=123 ");
    BOOST_TEST(index_of(tar_end) == "");
}

BOOST_AUTO_TEST_CASE(archives_that_cannot_be_trusted_are_refused) {
    const std::string file = tar_file("a.jpg", "1");
    const std::string no_archive = ": is no tar archive; name it otherwise, or remove it";
    BOOST_TEST(index_of("") == no_archive);
    BOOST_TEST(index_of("\x1f\x8b") == no_archive);
    BOOST_TEST(index_of("\x1f\x8b" + std::string(1000, 'z')) ==
               ": is no tar archive, or a compressed one; unpack it with gunzip, or remove it");
    BOOST_TEST(index_of(file) == ": is cut off: it lacks the end of an archive; fetch it again");
    BOOST_TEST(index_of(file.substr(0, 700)) == ": is cut off: it lacks the end of an archive; fetch it again");
    BOOST_TEST(index_of(tar_header("a.jpg", 700) + "1") == ": is cut off in 'a.jpg'; fetch it again");
    std::string changed = file + file + tar_end;
    changed[1024 + 3] ^= 1;
    BOOST_TEST(index_of(changed) == ": is damaged at byte 1024; fetch it again");
    BOOST_TEST(index_of(file + tar_end + file + tar_end) ==
               ": has contents behind its end, as archives that were joined have; pack all files into one");
    BOOST_TEST(index_of(file + tar_file("b", "") + file + tar_end) == ": holds 'a.jpg' twice; pack it again");
    for (const char* name : {"../a.jpg", "/a.jpg", "a/../b.jpg", "a//b.jpg", "a/./b"})
        BOOST_TEST(index_of(tar_file("x", pax_record("path", name), 'x') + file + tar_end) ==
                   ": holds the path '" + std::string{name} + "', which leads out of it; do not trust it");
    BOOST_TEST(index_of(tar_file("\xe4.jpg", "") + tar_end) ==
               ": holds the name '\\xe4.jpg', which is not valid UTF-8; rename it");
    BOOST_TEST(index_of(tar_file("a", "", 'S') + tar_end) == ": holds 'a' as a sparse file; pack it without --sparse");
    BOOST_TEST(index_of(tar_file("x", pax_record("GNU.sparse.major", "1"), 'x') + file + tar_end) ==
               ": holds 'a.jpg' as a sparse file; pack it without --sparse");
    BOOST_TEST(index_of(tar_header("a", 0, '0', {}, "12x4567") + tar_end) == ": has no size for 'a'; pack it again");
    BOOST_TEST(index_of(tar_header("a", 0, '0', {}, "\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff") + tar_end) ==
               ": has no size for 'a'; pack it again");
    for (const char* record : {"x", "9999 path=a\n", "3 p\n", "6 path\n", "0 path=a\n", "10 size=xy\n"})
        BOOST_TEST(index_of(tar_file("x", record, 'x') + file + tar_end) ==
                   ": has a damaged extended header; pack it again");
    BOOST_TEST(index_of(tar_file("x", std::string((1 << 20) + 1, ' '), 'x') + file + tar_end) ==
               ": has a name of 1048577 bytes; pack it again");
}

BOOST_AUTO_TEST_CASE(a_class_file_without_a_class_number_is_named) {
    for (const char* text : {"", "soup", "-1", "1 2", "1234567", "1                                1"}) {
        const TemporaryFolder folder;
        folder.write("training/a.tar", tar_file("7.jpg", "x") + tar_file("7.cls", text) + tar_end);
        touch(folder, {"validation/0_0.jpg"});
        BOOST_TEST(refusal(folder).starts_with("/training/a.tar: its file 7.cls holds '"));
    }
}

static_assert(!std::is_convertible_v<bantam::TestSplit, bantam::LabeledSplit>);
static_assert(!std::is_convertible_v<bantam::TestSplit, bantam::UnlabeledSplit>);

}  // namespace
