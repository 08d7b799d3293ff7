// SPDX-License-Identifier: MIT
// The teacher of --teacher without its type: teacher.cpp alone compiles its network.
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/data/evaluation_loader.hpp>
#include <bantam/data/online_teacher.hpp>
#include <bantam/data/picture_store.hpp>
#include <bantam/data/teacher_logits.hpp>

#include <filesystem>

namespace distill_food11 {

using namespace bantam;

/// The built-in teacher of these weights on the CPU. Throws Error where no built-in architecture fits them.
OnlineTeacher open_teacher(const std::filesystem::path& weights, int threads);

/// The teacher's logits of whole pictures, one view each, as a logits file would have them.
TeacherLogits answer_whole_pictures(const OnlineTeacher& teacher, const LabeledPictures& pictures);

}  // namespace distill_food11
