// SPDX-License-Identifier: MIT
#pragma once

#include <stdexcept>

namespace bantam {

/// The exception for files, arguments and devices that are not as expected. `what()` is one line with the file or
/// value, what was expected, what was found, and what to do next.
struct Error : std::runtime_error {
    using std::runtime_error::runtime_error;
};

}  // namespace bantam
