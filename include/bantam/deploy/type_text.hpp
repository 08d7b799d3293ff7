// SPDX-License-Identifier: MIT
// Runs on a PC: a network's type as source text.
#pragma once

#include <bantam/core/layer_mistakes.hpp>

#include <cctype>
#include <cstddef>
#include <string>
#include <string_view>

namespace bantam::deploy {

namespace detail {

/// Makes a number of a Size2d at the end of a text whose two numbers are equal.
inline void shorten_last_size(std::string& text) {
    constexpr std::string_view name = "bantam::Size2d{";
    const std::size_t begin = text.rfind(name);
    if (begin == std::string::npos) return;
    const std::string numbers = text.substr(begin + name.size(), text.size() - begin - name.size() - 1);
    const std::size_t comma = numbers.find(", ");
    if (comma != std::string::npos && numbers.substr(0, comma) == numbers.substr(comma + 2))
        text.replace(begin, std::string::npos, numbers.substr(0, comma));
}

}  // namespace detail

/// The type as C++ source, as the compiler prints it: "bantam::Network<bantam::Image<8, 8, 3>, …>", one layer per line.
/// It names everything in full, except that clang leaves out where a class of template arguments lies; those are
/// taken for Bantam's.
template <class T>
std::string type_text() {
    const std::string_view printed = bantam::detail::type_name<T>();
    const auto in_name = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; };
    std::string text;
    std::size_t word = 0;  // where the last name begins in `text`
    int depth = 0;
    for (std::size_t i = 0; i < printed.size(); ++i) {
        const char c = printed[i];
        // "> >" of older compilers.
        if (c == ' ' && i + 1 < printed.size() && printed[i + 1] == '>') continue;
        if (c == ' ' && depth == 1 && printed[i - 1] == ',') {
            text += "\n    ";
            word = text.size();
            continue;
        }
        if (in_name(c)) {
            if (text.empty() || !in_name(text.back())) word = text.size();
        } else if ((c == '{' || c == '<') && in_name(text.back())) {
            const bool number = std::isdigit(static_cast<unsigned char>(text[word])) != 0;
            const bool qualified = word >= 2 && text.compare(word - 2, 2, "::") == 0;
            if (!number && !qualified) text.insert(word, "bantam::");
        }
        depth += c == '<' ? 1 : c == '>' ? -1 : 0;
        text += c;
        if (c == '}') detail::shorten_last_size(text);
    }
    return text;
}

}  // namespace bantam::deploy
