// SPDX-License-Identifier: MIT
// The homework's folders and files as the programs read them: what is slow to compile, compiled once.
#pragma once

#include <bantam/data/folders.hpp>
#include <bantam/data/teacher_logits.hpp>
#include <bantam/io/safetensors.hpp>

#include <filesystem>
#include <string>
#include <vector>

namespace bantam {

/// `scan_homework`, and refuses data whose training folders lead to testing pictures.
HomeworkFolders open_homework(const std::filesystem::path& root, int expected_classes = 0);

/// `read_teacher_logits`.
TeacherLogits load_teacher_logits(const std::filesystem::path& path);

/// `check_teacher_logits`.
void match_teacher_logits(const TeacherLogits& teacher, const std::filesystem::path& path,
                          const ExpectedPictures& pictures);

/// A JSON array of strings.
std::string json_text(const std::vector<std::string>& words);

/// What a student's file says of its classes and of the pictures it expects.
Metadata picture_metadata(const std::vector<std::string>& classes, int stored_size);

}  // namespace bantam
