// SPDX-License-Identifier: MIT
// The job of distill_food11 for any student on any device.
#pragma once

#include <bantam/train/options.hpp>

#include "../../tools/shared/command_line.hpp"

#include <filesystem>
#include <string>

namespace distill_food11 {

using namespace bantam;

struct Options {
    std::filesystem::path data;
    std::filesystem::path teacher_logits;
    std::filesystem::path output = "distill_food11_output";
    std::filesystem::path weights;
    std::string student;  ///< empty: the default one
    int stored_size = 144;
    std::string keep = "loss";
    bool resume = false;
    bool predict_only = false;
    TrainingOptions training;
    DeviceOptions device;
};

/// Trains, or predicts alone, as `options` ask for it.
void distill(Options& options);

}  // namespace distill_food11
