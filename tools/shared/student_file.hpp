// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/io/safetensors.hpp>

#include <string>

/// The name of the student whose weights a file of distill_food11 holds; empty where the file does not say.
inline std::string student_name(const bantam::SafetensorsFile& file) {
    const auto network = file.metadata().find("network");
    return network == file.metadata().end() ? "" : network->second.substr(0, network->second.find(','));
}
