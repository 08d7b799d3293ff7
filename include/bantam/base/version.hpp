// SPDX-License-Identifier: MIT
#pragma once

namespace bantam {

/// Bantam's version. CMake reads it from this line.
inline constexpr const char* version = "0.1.0";

}  // namespace bantam
