// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/error.hpp>
#include <bantam/base/printable.hpp>
#include <bantam/io/safetensors.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <span>
#include <string>
#include <vector>

/// The metadata key of the ranges of a student's maps, which a student that was trained for int8 has.
inline constexpr const char* int8_ranges_key = "int8_ranges";

/// The name of the student whose weights a file of distill_food11 holds; empty where the file does not say.
inline std::string student_name(const bantam::SafetensorsFile& file) {
    const auto network = file.metadata().find("network");
    return network == file.metadata().end() ? "" : network->second.substr(0, network->second.find(','));
}

/// Ranges as the text of their metadata, from which the same bits are read.
inline std::string int8_ranges_text(std::span<const float> ranges) {
    nlohmann::json list = nlohmann::json::array();
    for (const float range : ranges) list.push_back(static_cast<double>(range));
    return list.dump();
}

/// The ranges for which a student was trained for int8; empty where it was not. Throws Error naming the file where they
/// are no list of numbers.
inline std::vector<float> int8_ranges(const bantam::SafetensorsFile& file) {
    const auto stored = file.metadata().find(int8_ranges_key);
    if (stored == file.metadata().end()) return {};
    const nlohmann::json list = nlohmann::json::parse(stored->second, nullptr, false);
    std::vector<float> ranges;
    if (list.is_array())
        for (const nlohmann::json& range : list)
            if (range.is_number()) ranges.push_back(range.get<float>());
    if (ranges.empty() || ranges.size() != list.size() ||
        !std::all_of(ranges.begin(), ranges.end(), [](float range) { return std::isfinite(range) && range >= 0; }))
        throw bantam::Error{file.path().string() + ": its metadata '" + int8_ranges_key + "' is '" +
                            bantam::printable(stored->second) +
                            "', expected a list of numbers; take another file or train it again"};
    return ranges;
}
