// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>

#include <cstddef>
#include <string_view>

namespace bantam {

/// A string literal as a template argument: `Named<"conv1", …>`.
template <std::size_t Size>
struct Literal {
    char characters[Size] = {};

    consteval Literal(const char (&text)[Size]) {
        for (std::size_t i = 0; i < Size; ++i) characters[i] = text[i];
    }
    constexpr std::string_view view() const { return {characters, Size - 1}; }
};

namespace detail {

/// Not constexpr, so that a call in constant evaluation is a compile error that shows this name; a `throw` would be
/// one everywhere where exceptions are switched off.
inline void text_capacity_exceeded() {}

}  // namespace detail

/// A string of at most `Capacity` characters, usable at compile time. Exceeding the capacity in constant evaluation is
/// a compile error; elsewhere the text is cut.
template <std::size_t Capacity>
struct Text {
    char characters[Capacity + 1] = {};
    std::size_t length = 0;

    constexpr const char* data() const { return characters; }
    constexpr std::size_t size() const { return length; }
    constexpr std::string_view view() const { return {characters, length}; }

    constexpr Text& append(char c) {
        if (length >= Capacity) {
            detail::text_capacity_exceeded();
            return *this;
        }
        characters[length++] = c;
        return *this;
    }
    constexpr Text& append(std::string_view text) {
        for (char c : text) append(c);
        return *this;
    }
    constexpr Text& append(std::size_t count, char c) {
        for (std::size_t i = 0; i < count; ++i) append(c);
        return *this;
    }
    /// The decimal digits of a number that is not negative, optionally with commas between groups of three.
    constexpr Text& append_number(Index number, bool commas = false) {
        char digits[27] = {};
        int count = 0;
        int written = 0;
        do {
            if (commas && written > 0 && written % 3 == 0) digits[count++] = ',';
            digits[count++] = static_cast<char>('0' + number % 10);
            number /= 10;
            ++written;
        } while (number > 0);
        while (count > 0) append(digits[--count]);
        return *this;
    }
    /// Right-aligns `text` in a column of `width` characters; longer text is not cut.
    constexpr Text& append_right(std::string_view text, std::size_t width) {
        if (text.size() < width) append(width - text.size(), ' ');
        return append(text);
    }
};

}  // namespace bantam
