// SPDX-License-Identifier: MIT
// Runs on a PC: a deployed network as a C++ header.
#pragma once

#include <bantam/base/error.hpp>
#include <bantam/base/index.hpp>
#include <bantam/core/network.hpp>
#include <bantam/deploy/classifier.hpp>
#include <bantam/deploy/self_test.hpp>
#include <bantam/deploy/type_text.hpp>

#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

namespace bantam::deploy {

/// What a header says beside the weights.
struct HeaderText {
    /// The network's type as C++ spells it, "bantam::Mobile98k<10>", and the headers that it needs; without them all
    /// layers are spelled out.
    std::string type{};
    std::vector<std::string> includes{};
    std::string name = "student";        ///< the namespace of all names in the header
    std::vector<std::string> classes{};  ///< names of the classes, or none
    int stored_size = 0;                 ///< side to which pictures are resized before the network's view, or 0
};

namespace detail {

inline void append_values(std::string& text, std::span<const float> values) {
    char number[40];
    for (std::size_t i = 0; i < values.size(); ++i) {
        // As printf's %a, which writes a decimal comma where the process's locale has one.
        const auto end = std::to_chars(number, number + sizeof number, std::abs(static_cast<double>(values[i])),
                                       std::chars_format::hex)
                             .ptr;
        text += std::signbit(values[i]) ? "-0x" : "0x";
        text.append(number, end).append(i % 8 == 7 ? "F,\n" : "F, ");
    }
}
template <class Integer>
void append_values(std::string& text, std::span<const Integer> values) {
    constexpr std::size_t row = sizeof(Integer) == 1 ? 32 : 10;
    for (std::size_t i = 0; i < values.size(); ++i) {
        // The smallest 32-bit number has no literal.
        text += static_cast<long long>(values[i]) == INT32_MIN ? "-2147483647 - 1" : std::to_string(values[i]);
        text += i % row == row - 1 ? ",\n" : ",";
    }
}

inline std::string quoted(const std::string& word) {
    std::string text = "\"";
    for (const char c : word) {
        const auto code = static_cast<unsigned char>(c);
        if (c == '"' || c == '\\') {
            text += '\\';
            text += c;
        } else if (code < 0x20 || code >= 0x7f) {
            // Three octal digits end an escape, whatever follows.
            char escape[5];
            std::snprintf(escape, sizeof escape, "\\%03o", static_cast<unsigned>(code));
            text += escape;
        } else {
            text += c;
        }
    }
    return text + '"';
}

}  // namespace detail

/// A header that holds the network's type, its weights and the logits of the test picture, and needs Bantam's headers
/// alone. Where it is read, the compiler checks that the type still has the tensors for which it was written.
template <class Net, class P>
std::string header_text(const Weights<Net, P>& weights, const HeaderText& about) {
    constexpr bool integer = std::is_same_v<P, Int8>;
    const auto classifier = std::make_unique<Classifier<Net, P>>(weights);
    std::vector<std::uint8_t> picture(static_cast<std::size_t>(element_count(input_shape<Net>)));
    const typename P::Logit* logits = test_logits(*classifier, picture.data());
    if (!about.classes.empty() && static_cast<Index>(about.classes.size()) != class_count<Net>)
        throw Error{"the network has " + std::to_string(class_count<Net>) + " classes, given are the names of " +
                    std::to_string(about.classes.size())};

    const std::string precision = integer ? "bantam::deploy::Int8" : "bantam::deploy::Float32";
    const std::string element = integer ? "std::int32_t" : "float";
    std::string text = "// Written by bantam::deploy::header_text; do not edit.\n// clang-format off\n#pragma once\n\n";
    text += "#include <bantam/deploy/classifier.hpp>\n";
    const std::vector<std::string> every_layer{"bantam/core/network.hpp", "bantam/layers/all.hpp"};
    for (const std::string& include : about.type.empty() ? every_layer : about.includes)
        text += "#include <" + include + ">\n";
    text += "\n#include <cstdint>\n\nnamespace " + about.name + " {\n\n";
    text += "using Network = " + (about.type.empty() ? type_text<Net>() : about.type) +
            ";\nusing Precision = " + precision + ";\n\n";
    text += "static_assert(bantam::parameter_count<Network> == " + std::to_string(parameter_count<Net>) +
            " && bantam::multiply_adds<Network> == " + std::to_string(multiply_adds<Net>) +
            ",\n              \"this header was written for another network\");\n";
    text +=
        "static_assert(bantam::deploy::weight_bytes<Network, Precision> == " + std::to_string(weight_bytes<Net, P>) +
        ",\n              \"this header was written for another layout of the weights; export it again\");\n\n";
    text += "inline constexpr bantam::deploy::Weights<Network, Precision> weights{\n{\n";
    detail::append_values(text, std::span<const typename P::Weight>{weights.weights});
    text += "},\n{\n";
    detail::append_values(text, std::span<const typename P::Constant>{weights.constants});
    text += "}};\n\n/// The logits of bantam::deploy::test_picture_byte's picture.\n";
    text += "inline constexpr " + element + " expected_test_logits[]{\n";
    detail::append_values(text, std::span<const typename P::Logit>{logits, static_cast<std::size_t>(class_count<Net>)});
    text += "};\n";
    if (!about.classes.empty()) {
        text += "\ninline constexpr const char* class_names[]{\n";
        for (const std::string& name : about.classes) text += detail::quoted(name) + ",\n";
        text += "};\n";
    }
    text +=
        "\n/// The most likely class of a picture, [height][width][colors] bytes. Its memory is static.\n"
        "inline int classify(const std::uint8_t* picture) {\n"
        "    static bantam::deploy::Classifier<Network, Precision> classifier{weights};\n"
        "    return classifier.classify(picture);\n}\n";
    if (about.stored_size > 0)
        text +=
            "\n/// Pictures are resized to this side before the view of the network's size is cut.\n"
            "inline constexpr int stored_size = " +
            std::to_string(about.stored_size) + ";\n";
    return text + "\n}  // namespace " + about.name + "\n";
}

}  // namespace bantam::deploy
