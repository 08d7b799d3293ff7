// SPDX-License-Identifier: MIT
#include "homework.hpp"

#include "command_line.hpp"

#include <bantam/base/printable.hpp>
#include <bantam/data/color.hpp>
#include <bantam/data/testing_refusal.hpp>
#include <bantam/io/checkpoint.hpp>
#include <bantam/io/tar_index.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

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

void refuse_input_as_output(const std::filesystem::path& output, const std::filesystem::path& data,
                            const HomeworkFolders& folders, const std::filesystem::path& file) {
    const auto refuse = [&](const std::filesystem::path& input) {
        std::error_code ignored;  // a file that does not exist is no input
        if (std::filesystem::equivalent(output, input, ignored))
            throw Error{fmt::format("{}: is also an input of this program ({}); choose another output", output.string(),
                                    input.string())};
    };
    std::error_code ignored;
    if (!std::filesystem::exists(output, ignored)) return;
    refuse(file);
    for (const std::vector<std::string>* paths :
         {&folders.training.paths, &folders.unlabeled.paths, &folders.validation.paths, &folders.testing.paths()})
        for (const std::string& path : *paths) {
            const std::filesystem::path archive = archive_of(data / path);
            refuse(archive.empty() ? data / path : archive);
        }
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

int stored_size_of_student(const SafetensorsFile& student, const std::vector<std::string>& classes, int otherwise) {
    const Metadata& metadata = student.metadata();
    const std::string here = json_text(classes);
    if (const auto known = metadata.find("classes"); known != metadata.end() && known->second != here)
        throw Error{fmt::format("{}: was trained on the classes {}, the data has {}; name the data it was trained on",
                                student.path().string(), printable(known->second), here)};
    if (!metadata.contains("stored_size")) return otherwise;
    return static_cast<int>(metadata_count(student, "stored_size", 8, 4096));
}

}  // namespace bantam
