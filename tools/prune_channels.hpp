// SPDX-License-Identifier: MIT
// The students of prune_channels without their types.
#pragma once

#include <bantam/core/network.hpp>
#include <bantam/prune/prunable_network.hpp>

#include <string>
#include <vector>

namespace prune_channels {

/// A student that the program knows.
struct StudentEntry {
    std::string name;
    bantam::Index classes;
    bantam::Shape input;
    bantam::PrunableNetwork network;
};

/// All students, the default first. cmake/students.cmake writes its definition.
std::vector<StudentEntry> students();

}  // namespace prune_channels
