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
    std::filesystem::path teacher;  ///< weights of a teacher that answers while the student is trained
    std::filesystem::path teacher_logits;
    std::filesystem::path output = "distill_food11_output";
    std::filesystem::path weights;
    std::filesystem::path start_from;
    std::string student;  ///< empty: the one that --weights names, or the default one
    int stored_size = 144;
    std::filesystem::path cache;  ///< of decoded pictures; empty: none
    bool verify_cache = false;
    int id_digits = 1;
    int tta = 1;  ///< views of a picture whose logits are averaged for predict.csv
    std::string keep = "loss";
    std::string quantize = "no";  ///< or int8
    double save_seconds = 60;     ///< between two states saved within an epoch
    std::string norms = "batch";  ///< or rank: whose statistics batch norms have under mpirun
    bool resume = false;
    bool extend = false;
    bool overwrite = false;
    bool predict_only = false;
    bool no_report = false;
    std::string command;  ///< as it was typed
    bool list_students = false;
    bool summary = false;
    TrainingOptions training;
    DeviceOptions device;

    bool for_int8() const { return quantize == "int8"; }
};

/// Does what `options` ask for: trains and predicts, predicts alone, or prints a table.
void distill(Options& options);

}  // namespace distill_food11
