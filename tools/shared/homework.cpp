// SPDX-License-Identifier: MIT
#include "homework.hpp"

#include "command_line.hpp"

#include <bantam/base/printable.hpp>
#include <bantam/data/color.hpp>
#include <bantam/data/testing_refusal.hpp>

#include <fmt/core.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <string>

namespace bantam {

HomeworkFolders open_homework(const std::filesystem::path& root, int expected_classes) {
    HomeworkFolders folders = scan_homework(root, expected_classes);
    refuse_testing_links(folders);
    if (!folders.ignored.empty()) {
        constexpr std::size_t named_limit = 10;
        std::string names;
        for (std::size_t index = 0; index < std::min(folders.ignored.size(), named_limit); ++index)
            names += (index == 0 ? "" : ", ") + printable(folders.ignored[index]);
        print_message(fmt::format("note: {} left out, which are no pictures or lie where none belongs: {}{}\n",
                                  folders.ignored.size(), names, folders.ignored.size() > named_limit ? ", …" : ""));
    }
    return folders;
}

TeacherLogits load_teacher_logits(const std::filesystem::path& path) { return read_teacher_logits(path); }

void match_teacher_logits(const TeacherLogits& teacher, const std::filesystem::path& path,
                          const ExpectedPictures& pictures) {
    check_teacher_logits(teacher, path, pictures);
}

std::string json_text(const std::vector<std::string>& words) { return nlohmann::json(words).dump(); }

Metadata picture_metadata(const std::vector<std::string>& classes, int stored_size) {
    const Normalization normalization;
    return {{"classes", json_text(classes)},
            {"mean", nlohmann::json(normalization.mean).dump()},
            {"std", nlohmann::json(normalization.deviation).dump()},
            {"stored_size", std::to_string(stored_size)}};
}

}  // namespace bantam
