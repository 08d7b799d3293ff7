// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/error.hpp>
#include <bantam/base/printable.hpp>
#include <bantam/io/read_file.hpp>
#include <bantam/io/tar_index.hpp>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace bantam {

/// Pictures with a label each. Paths are relative to the data folder, with '/'.
struct LabeledSplit {
    std::vector<std::string> paths;
    std::vector<int> labels;
};

/// Training pictures without labels.
struct UnlabeledSplit {
    std::vector<std::string> paths;
};

/// Testing pictures, for prediction only. This type has neither labels nor teacher logits, and no training or
/// labeling function accepts it.
class TestSplit {
public:
    TestSplit() = default;
    explicit TestSplit(std::vector<std::string> paths) : paths_{std::move(paths)} {}

    const std::vector<std::string>& paths() const { return paths_; }

private:
    std::vector<std::string> paths_;
};

/// A data folder in one of the homework's layouts:
///
///   training/labeled/<class>/*  training/unlabeled/<any>/*  validation/<class>/*  testing/<any>/*
///   training/<label>_<n>.jpg    training/unlabeled/*        validation/<label>_<n>.jpg  testing/*
///   train/<class>/*             train/unlabeled/*           val/<class>/*               test/<any>/*
///
/// A .tar file stands for the folder of the pictures in it; the path of one is shard.tar/<name>. Shards in WebDataset's
/// layout, where 000123.cls has the class number of 000123.jpg, lie where the class folders would:
///
///   training/labeled/*.tar      training/unlabeled/*.tar    validation/*.tar    testing/*.tar
///
/// Their pictures without a .cls file count as unlabeled in training, and are left out in validation.
///
/// Each folder may have any of its names: training or train; validation, val or valid; testing, test or evaluation.
/// The unlabeled one and the testing one may be absent.
struct HomeworkFolders {
    std::filesystem::path root;
    std::vector<std::string> classes;  ///< name of each label
    LabeledSplit training;             ///< class by class, by name within a class
    UnlabeledSplit unlabeled;          ///< by path
    LabeledSplit validation;           ///< class by class, by name within a class
    TestSplit testing;                 ///< by path
    std::vector<std::string> ignored;  ///< files that are no pictures or lie where none is expected
};

namespace detail {

namespace fs = std::filesystem;

inline constexpr int deepest_folder = 8;

/// A path in an error message: names on a disk may hold any characters.
inline std::string shown(const fs::path& path) { return printable(path.string(), 4096); }

inline bool is_whole_number(std::string_view text) {
    return !text.empty() && text.size() <= 6 && std::all_of(text.begin(), text.end(), [](char c) {
        return std::isdigit(static_cast<unsigned char>(c)) != 0;
    });
}

/// Whether a file counts as a picture by its name.
inline bool has_picture_extension(const fs::path& path) {
    std::string extension = path.extension().string();
    std::transform(extension.begin(), extension.end(), extension.begin(),
                   [](unsigned char letter) { return static_cast<char>(std::tolower(letter)); });
    static constexpr std::array<std::string_view, 18> extensions{".jpg",  ".jpeg", ".jpe",  ".jfif", ".png",  ".bmp",
                                                                 ".dib",  ".gif",  ".webp", ".tif",  ".tiff", ".avif",
                                                                 ".heic", ".heif", ".jp2",  ".ppm",  ".pgm",  ".tga"};
    return std::find(extensions.begin(), extensions.end(), extension) != extensions.end();
}

/// Whether a file counts as a picture: one by its name, even where it is damaged, or a JPEG, PNG or BMP by its first
/// bytes. What cameras, desktops and archives leave beside pictures (Thumbs.db, a table of labels) does not.
inline bool is_picture_file(const fs::path& path) {
    if (has_picture_extension(path)) return true;
    const std::string extension = path.extension().string();
    // What editors, downloads and backups leave behind holds a picture that is there already, or a part of one.
    static constexpr std::array<std::string_view, 8> copies{".bak",  ".tmp",        ".temp",     ".part",
                                                            ".orig", ".crdownload", ".download", ".old"};
    if (std::find(copies.begin(), copies.end(), extension) != copies.end() || extension.ends_with('~')) return false;
    if (!fs::is_regular_file(file_status(path))) return false;
    std::array<char, 4> start{};
    std::ifstream{path, std::ios::binary}.read(start.data(), start.size());
    const std::string_view magic{start.data(), start.size()};
    return magic.starts_with("\xff\xd8\xff") || magic == "\x89PNG" || magic.starts_with("BM");
}

/// Whether a folder holds what a system keeps for itself, such as thumbnails, and never a user's pictures.
inline bool is_system_folder(std::string_view name) {
    static constexpr std::array<std::string_view, 8> names{
        "@eaDir",    "__MACOSX",   "$RECYCLE.BIN", "#recycle",
        "#snapshot", "lost+found", "__pycache__",  "System Volume Information"};
    return std::find(names.begin(), names.end(), name) != names.end();
}

struct FolderContents {
    std::vector<std::string> files;     // names of pictures, sorted
    std::vector<std::string> others;    // names of what is left out, sorted; a folder's ends with '/'
    std::vector<std::string> folders;   // names, sorted
    std::vector<std::string> archives;  // names of .tar files, sorted
};

inline FolderContents list_folder(const fs::path& folder) {
    FolderContents contents;
    std::error_code cause;
    for (fs::directory_iterator entry{folder, cause}, end; !cause && entry != end; entry.increment(cause)) {
        const std::string name = entry->path().filename().string();
        if (name.starts_with('.')) continue;
        if (!is_utf8(name))
            throw Error{shown(folder) + ": the name '" + printable(name) + "' is not valid UTF-8; rename it"};
        std::error_code ignored;
        const bool is_directory = entry->is_directory(ignored);
        if (name.ends_with(".tar") && fs::is_regular_file(file_status(entry->path())))
            contents.archives.push_back(name);
        else if (is_directory ? is_system_folder(name) : !is_picture_file(entry->path()))
            contents.others.push_back(is_directory ? name + '/' : name);
        else
            (is_directory ? contents.folders : contents.files).push_back(name);
    }
    if (cause)
        throw Error{shown(folder) + ": the folder cannot be read: " + cause.message() +
                    "; check the path and its permissions"};
    std::sort(contents.files.begin(), contents.files.end());
    std::sort(contents.others.begin(), contents.others.end());
    std::sort(contents.folders.begin(), contents.folders.end());
    std::sort(contents.archives.begin(), contents.archives.end());
    return contents;
}

struct ArchiveContents {
    std::vector<std::pair<std::string, int>> pictures;  // names, and the labels of their .cls files, −1: none
    std::vector<std::string> others;                    // names of what belongs to no picture
};

/// The label that a .cls file of an archive holds.
inline int read_class_file(InputFile& archive, const TarEntry& entry) {
    constexpr std::uint64_t longest = 32;
    std::string text(static_cast<std::size_t>(std::min(entry.size, longest)), '\0');
    archive.read(entry.position, text.data(), text.size());
    constexpr std::string_view space = " \t\r\n";
    std::string_view number = text;
    number.remove_prefix(std::min(number.find_first_not_of(space), number.size()));
    number = number.substr(0, number.find_last_not_of(space) + 1);
    if (entry.size > longest || !is_whole_number(number))
        throw Error{shown(archive.path()) + ": its file " + printable(entry.name) + " holds '" + printable(number) +
                    "', expected a class number such as 0; pack it again"};
    return std::stoi(std::string{number});
}

/// The pictures in a tar archive; hidden files are left out. All files of one key, the name up to its first dot, belong
/// together. Labels are read where they are asked for.
inline ArchiveContents list_archive(const fs::path& path, bool with_labels) {
    InputFile archive{path};
    ArchiveContents contents;
    std::map<std::string, int> labels;  // of the keys with a picture
    const auto place_of_key = [](const std::string& name) { return name.find('.', name.rfind('/') + 1); };
    std::vector<TarEntry> entries = read_tar_index(archive);
    std::erase_if(entries, [](const TarEntry& entry) {
        for (const fs::path& part : fs::path{entry.name})
            if (part.string().starts_with('.') || is_system_folder(part.string())) return true;
        return false;
    });
    // A key may have a mask beside its picture: 7.seg.png beside 7.jpg is none, but holiday.7.jpg alone is a picture.
    const auto is_plain = [&](const std::string& name) { return name.find('.', place_of_key(name) + 1) == name.npos; };
    for (const bool plain : {true, false})
        for (const TarEntry& entry : entries) {
            const std::string key = entry.name.substr(0, place_of_key(entry.name));
            if (!has_picture_extension(entry.name) || is_plain(entry.name) != plain) continue;
            if (plain || !labels.contains(key)) contents.pictures.emplace_back(entry.name, -1);
            if (plain) labels.emplace(key, -1);
        }
    for (const auto& [name, label] : contents.pictures) labels.emplace(name.substr(0, place_of_key(name)), -1);
    for (const TarEntry& entry : entries) {
        const std::size_t dot = place_of_key(entry.name);
        const auto found = labels.find(entry.name.substr(0, dot));
        if (found == labels.end())
            contents.others.push_back(entry.name);
        else if (with_labels && dot != entry.name.npos && entry.name.substr(dot) == ".cls")
            found->second = read_class_file(archive, entry);
    }
    for (auto& [name, label] : contents.pictures) label = labels.at(name.substr(0, place_of_key(name)));
    return contents;
}

inline bool is_folder(const fs::path& path) { return fs::is_directory(file_status(path)); }

inline void collect_files(HomeworkFolders& folders, const std::string& relative, std::vector<std::string>& paths,
                          int depth = 0) {
    if (depth > deepest_folder)
        throw Error{shown(folders.root / relative) +
                    ": folders are nested too deeply; does a link lead back to a folder above?"};
    const FolderContents contents = list_folder(folders.root / relative);
    for (const std::string& name : contents.files) paths.push_back(relative + '/' + name);
    for (const std::string& name : contents.others) folders.ignored.push_back(relative + '/' + name);
    for (const std::string& archive : contents.archives) {
        const ArchiveContents packed = list_archive(folders.root / relative / archive, false);
        for (const auto& [name, label] : packed.pictures) paths.push_back(relative + '/' + archive + '/' + name);
        for (const std::string& name : packed.others) folders.ignored.push_back(relative + '/' + archive + '/' + name);
    }
    for (const std::string& name : contents.folders) collect_files(folders, relative + '/' + name, paths, depth + 1);
}

inline std::vector<std::string> collect_sorted(HomeworkFolders& folders, const std::string& relative) {
    std::vector<std::string> paths;
    collect_files(folders, relative, paths);
    std::sort(paths.begin(), paths.end());
    return paths;
}

// "2" before "10", and plain name order as soon as one name is not a number.
inline void sort_classes(std::vector<std::string>& names) {
    if (std::all_of(names.begin(), names.end(), [](const auto& n) { return is_whole_number(n); }))
        std::sort(names.begin(), names.end(), [](const auto& left, const auto& right) {
            return std::pair{std::stoi(left), left} < std::pair{std::stoi(right), right};
        });
    else
        std::sort(names.begin(), names.end());
}

inline void require_class_count(const fs::path& place, std::size_t found, int expected) {
    if (expected > 0 && found == 0)
        throw Error{shown(place) +
                    ": has no folders of classes, and no .tar files with a .cls file per picture (compressed"
                    " archives are not read); expected " +
                    std::to_string(expected) + " classes"};
    if (expected > 0 && found != static_cast<std::size_t>(expected))
        throw Error{shown(place) + ": has " + std::to_string(found) + " classes, expected " + std::to_string(expected) +
                    "; choose the data folder this program was built for, or build it for " + std::to_string(found)};
}

inline void require_known_classes(const HomeworkFolders& folders, const std::string& relative) {
    for (const std::string& name : list_folder(folders.root / relative).folders)
        if (std::find(folders.classes.begin(), folders.classes.end(), name) == folders.classes.end())
            throw Error{shown(folders.root / relative / name) +
                        ": there is no such class among the training folders; rename or remove it"};
}

inline LabeledSplit scan_class_folders(HomeworkFolders& folders, const std::string& relative) {
    LabeledSplit split;
    const FolderContents contents = list_folder(folders.root / relative);
    for (const auto* names : {&contents.files, &contents.others})
        for (const std::string& name : *names) folders.ignored.push_back(relative + '/' + name);
    if (!contents.archives.empty())
        throw Error{shown(folders.root / relative / contents.archives.front()) +
                    ": lies beside class folders, or training has some; put it into the folder of its class"};
    for (std::size_t label = 0; label < folders.classes.size(); ++label) {
        const std::string folder = relative + '/' + folders.classes[label];
        if (!is_folder(folders.root / folder)) continue;
        for (std::string& path : collect_sorted(folders, folder)) {
            split.paths.push_back(std::move(path));
            split.labels.push_back(static_cast<int>(label));
        }
    }
    return split;
}

// The label in front of the first underscore, or -1.
inline int label_of_name(std::string_view name) {
    const std::size_t underscore = name.find('_');
    if (underscore == std::string_view::npos) return -1;
    const std::string_view label = name.substr(0, underscore);
    return is_whole_number(label) ? std::stoi(std::string{label}) : -1;
}

/// The pictures of archives that have no label are added to `unlabeled`.
inline LabeledSplit scan_flat_folder(HomeworkFolders& folders, const std::string& relative,
                                     std::vector<std::string>& unlabeled) {
    std::vector<std::pair<int, std::string>> labeled;
    const FolderContents contents = list_folder(folders.root / relative);
    for (const std::string& name : contents.others) folders.ignored.push_back(relative + '/' + name);
    for (const std::string& name : contents.files) {
        std::string path = relative + '/' + name;
        const int label = label_of_name(name);
        if (label >= 0)
            labeled.emplace_back(label, std::move(path));
        else
            folders.ignored.push_back(std::move(path));
    }
    for (const std::string& archive : contents.archives) {
        const ArchiveContents packed = list_archive(folders.root / relative / archive, true);
        for (const std::string& name : packed.others) folders.ignored.push_back(relative + '/' + archive + '/' + name);
        for (const auto& [name, label] : packed.pictures) {
            std::string path = relative + '/' + archive + '/' + name;
            if (label >= 0)
                labeled.emplace_back(label, std::move(path));
            else
                unlabeled.push_back(std::move(path));
        }
    }
    std::sort(labeled.begin(), labeled.end());
    LabeledSplit split;
    for (auto& [label, path] : labeled) {
        split.labels.push_back(label);
        split.paths.push_back(std::move(path));
    }
    return split;
}

inline void require_labels_below(const HomeworkFolders& folders, const LabeledSplit& split, std::size_t limit) {
    for (std::size_t index = 0; index < split.labels.size(); ++index)
        if (static_cast<std::size_t>(split.labels[index]) >= limit)
            throw Error{shown(folders.root / split.paths[index]) + ": its label " +
                        std::to_string(split.labels[index]) + " is out of range, expected 0 to " +
                        std::to_string(limit - 1) + "; rename or remove it"};
}

/// The names of the folders of a data folder; an absent one is empty.
struct FolderNames {
    std::string training, validation, testing;
};

inline std::string first_folder(const fs::path& root, std::initializer_list<const char*> names) {
    for (const char* name : names)
        if (is_folder(root / name)) return name;
    return {};
}

inline FolderNames folder_names(const fs::path& root) {
    return {.training = first_folder(root, {"training", "train"}),
            .validation = first_folder(root, {"validation", "val", "valid"}),
            .testing = first_folder(root, {"testing", "test", "evaluation"})};
}

// Class folders lie in training/labeled/, or beside training/unlabeled/.
inline void scan_class_layout(HomeworkFolders& folders, const FolderNames& names, const std::string& labeled,
                              int expected_classes) {
    folders.classes = list_folder(folders.root / labeled).folders;
    std::erase(folders.classes, "unlabeled");
    sort_classes(folders.classes);
    require_class_count(folders.root / labeled, folders.classes.size(), expected_classes);
    folders.training = scan_class_folders(folders, labeled);
    require_known_classes(folders, names.validation);
    folders.validation = scan_class_folders(folders, names.validation);
}

inline void scan_flat_layout(HomeworkFolders& folders, const FolderNames& names, const std::string& place,
                             int expected_classes) {
    folders.training = scan_flat_folder(folders, place, folders.unlabeled.paths);
    folders.validation = scan_flat_folder(folders, names.validation, folders.ignored);
    const auto& labels = folders.training.labels;
    const std::size_t found = labels.empty() ? 0 : static_cast<std::size_t>(labels.back()) + 1;
    const std::size_t count = expected_classes > 0 ? static_cast<std::size_t>(expected_classes) : found;
    require_labels_below(folders, folders.training, count);
    require_labels_below(folders, folders.validation, count);
    // A stray large label must not create that many classes.
    const std::set<int> distinct(labels.begin(), labels.end());
    if (!labels.empty()) require_class_count(folders.root / place, distinct.size(), static_cast<int>(count));
    for (std::size_t label = 0; label < count; ++label) folders.classes.push_back(std::to_string(label));
}

inline void require_every_class(const HomeworkFolders& folders, const FolderNames& names) {
    const std::set<int> present(folders.training.labels.begin(), folders.training.labels.end());
    for (std::size_t label = 0; label < folders.classes.size(); ++label)
        if (!present.contains(static_cast<int>(label)))
            throw Error{shown(folders.root / names.training) + ": class '" + printable(folders.classes[label]) +
                        "' has no pictures; is the data set complete?"};
}

}  // namespace detail

/// Lists a homework data folder in an order that depends on names alone. Class folders may have
/// any names; names that are all whole numbers are ordered by value. Hidden files are left out; others count as
/// pictures by their extension or their first bytes. `expected_classes` 0 accepts any count.
/// Throws Error when a name is not UTF-8, when training or validation is missing or empty, or when classes or labels
/// are not as expected.
inline HomeworkFolders scan_homework(const std::filesystem::path& root, int expected_classes = 0) {
    const auto missing = [](const std::filesystem::path& folder, const std::string& advice) {
        throw Error{detail::shown(folder) + ": no such folder; " + advice};
    };
    HomeworkFolders folders;
    folders.root = root;
    if (!detail::is_folder(root)) missing(root, "name the folder that holds training/ and validation/");
    const detail::FolderNames names = detail::folder_names(root);
    if (names.training.empty()) {
        for (const std::string& name : detail::list_folder(root).folders)
            if (!detail::folder_names(root / name).training.empty())
                missing(root / "training", "did you mean " + detail::shown(root / name) + "?");
        missing(root / "training", "name the folder that holds training/ and validation/");
    }
    if (names.validation.empty()) missing(root / "validation", "the data set is incomplete; unpack it again");

    const std::string unlabeled = names.training + "/unlabeled";
    std::string place = names.training + "/labeled";
    const bool apart = detail::is_folder(root / place);
    if (!apart) place = names.training;
    detail::FolderContents inside = detail::list_folder(root / place);
    std::erase(inside.folders, "unlabeled");
    if (inside.folders.empty() && (!apart || !inside.archives.empty()))
        detail::scan_flat_layout(folders, names, place, expected_classes);
    else
        detail::scan_class_layout(folders, names, place, expected_classes);
    if (folders.training.paths.empty())
        throw Error{detail::shown(root / names.training) +
                    ": has no labeled pictures; expected labeled/<class>/<picture>, <class>/<picture>, "
                    "<label>_<number>.jpg, or .tar files with a .cls file per picture"};
    detail::require_every_class(folders, names);
    if (folders.validation.paths.empty())
        throw Error{detail::shown(root / names.validation) +
                    ": has no labeled pictures; expected <class>/<picture>, <label>_<number>.jpg, or .tar files with a "
                    ".cls file per picture"};

    if (detail::is_folder(root / unlabeled)) detail::collect_files(folders, unlabeled, folders.unlabeled.paths);
    std::sort(folders.unlabeled.paths.begin(), folders.unlabeled.paths.end());
    if (!names.testing.empty()) folders.testing = TestSplit{detail::collect_sorted(folders, names.testing)};
    return folders;
}

}  // namespace bantam
