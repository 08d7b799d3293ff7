// SPDX-License-Identifier: MIT
#pragma once

#include <stdexcept>
#include <string>

#ifndef __cpp_exceptions
#include <cstdio>
#include <cstdlib>
#endif

namespace bantam {

/// The exception for files, arguments and devices that are not as expected. `what()` is one line with the file or
/// value, what was expected, what was found, and what to do next.
struct Error : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// Throws Error. What inference needs throws by this, so that it also compiles without exceptions: there the text is
/// printed and the program ends.
[[noreturn]] inline void throw_error(const std::string& what) {
#ifdef __cpp_exceptions
    throw Error(what);
#else
    std::fprintf(stderr, "%s\n", what.c_str());
    std::abort();
#endif
}

}  // namespace bantam
