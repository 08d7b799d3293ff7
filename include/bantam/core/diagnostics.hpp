// SPDX-License-Identifier: MIT
#pragma once

// How Bantam's own compile errors are printed: one error whose line is a sentence, made at compile time, with the
// names and numbers of the network at hand. From C++26 on a static_assert may print it. Before, the sentence is an
// argument of a template, which g++ and clang print as text. Compilers that print it as numbers are given
// the facts instead.

#include <bantam/base/index.hpp>
#include <bantam/core/text.hpp>

#include <cstddef>
#include <string_view>
#include <utility>

namespace bantam {

/// Has no member `valid`: its appearance in a compiler's output is the error message.
template <auto... Message>
struct compile_error {};

/// A part of a message.
template <std::size_t Size>
struct Words {
    char words[Size + 1] = {};
};

namespace detail {

/// A whole message, without quotation marks and apostrophes, which the compilers print with backslashes.
using Sentence = Text<1024>;

#ifdef __clang__
/// clang cuts a text after 32 characters.
inline constexpr std::size_t longest_words = 31;
#else
inline constexpr std::size_t longest_words = 1024;
#endif

/// Where the words that begin at `begin` end: behind a space, if there is one.
constexpr std::size_t end_of_words(std::string_view text, std::size_t begin) {
    if (text.size() - begin <= longest_words) return text.size();
    std::size_t end = begin + longest_words;
    while (end > begin && text[end - 1] != ' ') --end;
    return end > begin ? end : begin + longest_words;
}

constexpr std::size_t begin_of_words(std::string_view text, std::size_t index) {
    std::size_t begin = 0;
    for (; index > 0; --index) begin = end_of_words(text, begin);
    return begin;
}

constexpr std::size_t words_in(std::string_view text) {
    std::size_t count = 0;
    for (std::size_t begin = 0; begin < text.size(); begin = end_of_words(text, begin)) ++count;
    return count;
}

template <class M, std::size_t I>
constexpr auto words_at() {
    constexpr std::string_view text = M::sentence.view();
    constexpr std::size_t begin = begin_of_words(text, I);
    constexpr std::size_t size = end_of_words(text, begin) - begin;
    Words<size> result;
    for (std::size_t i = 0; i < size; ++i) result.words[i] = text[begin + i];
    result.words[size] = 0;  // clang prints no text whose end it has not evaluated
    return result;
}

/// The compiler prints `M::sentence`, a Sentence, where this is instantiated, unless it is empty. Compilers that do not
/// print text print the arguments of `M::Facts`, a compile_error. An error in a class causes no further errors
/// where the class is used; what is checked derives from it.
template <class M, class = std::make_index_sequence<words_in(M::sentence.view())>>
struct Refusal;
template <class M>
struct Refusal<M, std::index_sequence<>> {};
template <class M, std::size_t... Is>
struct Refusal<M, std::index_sequence<Is...>> {
#if defined(__cpp_static_assert) && __cpp_static_assert >= 202306L
    static_assert(false, M::sentence);
#elif defined(__NVCC__) || defined(__EDG__) || (defined(__clang__) && __clang_major__ < 16)
    using Valid = typename M::Facts::valid;
#else
    using Valid = typename compile_error<words_at<M, Is>()...>::valid;
#endif
};

}  // namespace detail
}  // namespace bantam
