// SPDX-License-Identifier: MIT
// The students of export_student without their types, so that each is compiled alone.
#pragma once

#include <bantam/io/safetensors.hpp>

#include <filesystem>
#include <string>
#include <vector>

namespace export_student {

using namespace bantam;

struct Options {
    std::filesystem::path data;
    std::filesystem::path weights = "distill_food11_output/student.safetensors";
    std::filesystem::path output = "student.hpp";
    std::filesystem::path onnx;
    std::filesystem::path onnx_int8;
    std::filesystem::path pytorch;
    std::string student;  ///< empty: the one that the weights name, or the default one
    std::string precision = "int8";
    int stored_size = 144;  ///< where the weights' file does not have one
    int calibration_pictures = 512;
    double kept = 1;
};

/// Writes what the options ask for of a student with these weights.
template <class Net>
void export_student(Options options, SafetensorsFile& weights);

/// A student that the program knows.
struct StudentExport {
    const char* name;
    void (*run)(Options, SafetensorsFile&);
};

/// The students of BANTAM_STUDENTS, the default first. cmake/students.cmake writes its definition.
const std::vector<StudentExport>& students();

}  // namespace export_student
