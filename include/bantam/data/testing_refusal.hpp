// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/error.hpp>
#include <bantam/data/folders.hpp>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace bantam {

// Testing pictures are for inference only: no teacher may see them.

/// Throws Error where `data` is, or lies in, the testing folder of a data set.
inline void refuse_testing_folder(const std::filesystem::path& data) {
    std::error_code ignored;
    bool innermost = true;
    std::filesystem::path path = std::filesystem::weakly_canonical(data, ignored);
    if (path.filename().empty()) path = path.parent_path();
    for (; path.has_relative_path(); path = path.parent_path(), innermost = false) {
        std::string name = path.filename().string();
        std::ranges::transform(name, name.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
        const bool testing = name == "testing" || name == "test" || name == "evaluation";
        const detail::FolderNames inside = detail::folder_names(path);
        const bool data_set = !inside.training.empty() && !inside.validation.empty();
        const bool beside_training = !detail::folder_names(path.parent_path()).training.empty();
        if (testing && (beside_training || (innermost && !data_set)))
            throw Error{data.string() +
                        ": this is the testing folder; testing pictures get no teacher logits. "
                        "Name the folder that holds training/ and validation/"};
    }
}

/// Throws Error where a training or validation picture is a link into the testing folder.
inline void refuse_testing_links(const HomeworkFolders& folders) {
    std::error_code ignored;
    std::vector<std::string> tests;
    for (const char* name : {"testing", "test", "evaluation"})
        if (std::filesystem::is_directory(folders.root / name, ignored))
            tests.push_back(std::filesystem::weakly_canonical(folders.root / name, ignored).string() + '/');
    std::map<std::string, std::string> real_folders;
    const auto real_path = [&](const std::string& path) {
        const std::filesystem::path file = folders.root / path;
        if (std::filesystem::is_symlink(file, ignored))
            return std::filesystem::weakly_canonical(file, ignored).string();
        const auto [folder, is_new] = real_folders.try_emplace(path.substr(0, path.rfind('/')));
        if (is_new) folder->second = std::filesystem::weakly_canonical(file.parent_path(), ignored).string();
        return folder->second + '/' + file.filename().string();
    };
    for (const auto* paths : {&folders.training.paths, &folders.unlabeled.paths, &folders.validation.paths})
        for (const std::string& path : *paths) {
            const std::string real = real_path(path);
            for (const std::string& test : tests)
                if (real.starts_with(test))
                    throw Error{(folders.root / path).string() +
                                ": leads into the testing folder, whose pictures are not to learn from; "
                                "remove the link"};
        }
}

}  // namespace bantam
