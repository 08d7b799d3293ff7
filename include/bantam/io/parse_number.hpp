// SPDX-License-Identifier: MIT
#pragma once

#include <charconv>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>

#ifndef __cpp_lib_to_chars
#include <locale>
#include <sstream>
#endif

namespace bantam {

/// The number that the whole of `text` states, written with a decimal point in every locale; nothing where it states
/// none.
template <class T>
std::optional<T> parse_number(std::string_view text) {
    T value{};
#ifndef __cpp_lib_to_chars
    // libc++ 19 has no std::from_chars for floating point.
    if constexpr (std::is_floating_point_v<T>) {
        std::istringstream stream{std::string{text}};
        stream.imbue(std::locale::classic());
        if (!(stream >> std::noskipws >> value) || stream.peek() != std::istringstream::traits_type::eof())
            return std::nullopt;
        return value;
    } else
#endif
    {
        const auto [end, cause] = std::from_chars(text.data(), text.data() + text.size(), value);
        if (cause != std::errc{} || end != text.data() + text.size()) return std::nullopt;
        return value;
    }
}

}  // namespace bantam
