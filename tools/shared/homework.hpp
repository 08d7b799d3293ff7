// SPDX-License-Identifier: MIT
// The homework's folders and files. These functions are slow to compile and are compiled once for all programs.
#pragma once

#include <bantam/data/folders.hpp>
#include <bantam/data/teacher_logits.hpp>
#include <bantam/io/safetensors.hpp>

#include <filesystem>
#include <string>
#include <vector>

namespace bantam {

/// `scan_homework`, with a line on stderr about what it left out; throws Error where a link in a training folder leads
/// to testing pictures.
HomeworkFolders open_homework(const std::filesystem::path& root, int expected_classes = 0);

/// Throws Error where a program's output is one of its inputs, a picture of `folders` or `file`, under whatever name.
void refuse_input_as_output(const std::filesystem::path& output, const std::filesystem::path& data,
                            const HomeworkFolders& folders, const std::filesystem::path& file = {});

/// `read_teacher_logits`.
TeacherLogits load_teacher_logits(const std::filesystem::path& path);

/// `check_teacher_logits`.
void match_teacher_logits(const TeacherLogits& teacher, const std::filesystem::path& path,
                          const ExpectedPictures& pictures);

/// A JSON array of strings.
std::string json_text(const std::vector<std::string>& words);

/// The stored size of the pictures that a stored student was trained on, `otherwise` where its file does not have it.
/// Throws Error where its file names other classes than the data.
int stored_size_of_student(const SafetensorsFile& student, const std::vector<std::string>& classes, int otherwise);

/// The metadata of a student's file: its classes and how its pictures are preprocessed.
Metadata picture_metadata(const std::vector<std::string>& classes, int stored_size);

}  // namespace bantam
