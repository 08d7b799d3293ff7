// SPDX-License-Identifier: MIT
// The files of tools/shared/report/, which CMake embeds.
#pragma once

#include <string_view>

namespace bantam::report_page {

extern const std::string_view page;
extern const std::string_view style;
extern const std::string_view script;

}  // namespace bantam::report_page
