// SPDX-License-Identifier: MIT
// Numbers as text that no locale changes: printf writes a decimal comma where the process's locale has one.
#pragma once

#include <charconv>
#include <string>

namespace bantam {

namespace detail {

template <class... Format>
std::string number_text(double value, Format... format) {
    char text[400];  // the largest double has 309 digits before the point
    return {text, std::to_chars(text, text + sizeof text, value, format...).ptr};
}

}  // namespace detail

/// At most `digits` significant digits, as printf's %g.
inline std::string general_text(double value, int digits = 6) {
    return detail::number_text(value, std::chars_format::general, digits);
}

/// `digits` digits after the point, as printf's %f.
inline std::string fixed_text(double value, int digits) {
    return detail::number_text(value, std::chars_format::fixed, digits);
}

/// The shortest text that reads back as the same number.
inline std::string exact_text(double value) { return detail::number_text(value); }

}  // namespace bantam
