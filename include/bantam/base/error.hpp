// SPDX-License-Identifier: MIT
#pragma once

#include <stdexcept>

namespace bantam {

/// What every part of Bantam throws when the outside world is at fault. `what()` is one line that
/// names the file or value, says what was expected and found, and what to do next.
struct Error : std::runtime_error {
    using std::runtime_error::runtime_error;
};

}  // namespace bantam
