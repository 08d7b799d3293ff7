// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/core/network.hpp>

#include <cstddef>
#include <string_view>

namespace bantam {
namespace detail {

inline constexpr std::size_t summary_width = 80;

/// Megabytes (2²⁰ bytes) with two decimals, rounded.
constexpr auto megabytes(Index bytes) {
    Text<32> text;
    const Index hundredths = (bytes * 100 + (Index{1} << 19)) >> 20;
    text.append_number(hundredths / 100).append('.');
    return text.append(hundredths % 100 < 10 ? "0" : "").append_number(hundredths % 100);
}

constexpr auto with_commas(Index number) {
    Text<32> text;
    return text.append_number(number, true);
}

constexpr void append_rule(auto& text, char c) { text.append(summary_width, c).append('\n'); }

/// One line per layer: name and position, [-1, channels, height, width], parameters.
template <class Net>
constexpr void append_layers(auto& text) {
    append_rule(text, '-');
    text.append_right("Layer (type)", 26).append_right("Output Shape", 28).append_right("Param #", 20);
    text.append('\n');
    append_rule(text, '=');
    Index position = 0;
    for (const LayerEntry& layer : layer_table<Net>) {
        Text<64> label;
        label.append(layer.name).append('-').append_number(++position);
        Text<64> shape;
        shape.append("[-1, ").append_number(layer.output.channels);
        shape.append(", ").append_number(layer.output.height);
        shape.append(", ").append_number(layer.output.width).append(']');
        const Index parameters = layer.trainable + layer.non_trainable;
        text.append_right(label.view(), 26).append_right(shape.view(), 28);
        text.append_right(with_commas(parameters).view(), 20).append('\n');
    }
    append_rule(text, '=');
}

template <class Trained>
inline constexpr auto summary_text = [] {
    using Net = KeptNetwork<Trained>;
    // A line of at most 88 characters per layer, and 19 more lines.
    Text<(layer_table<Net>.size() + 19) * (summary_width + 8)> text;
    append_layers<Net>(text);
    constexpr Index input_bytes = element_count(input_shape<Net>) * 4;
    constexpr Index pass_bytes = 2 * activation_bytes<Net>;
    constexpr Index parameter_bytes = parameter_count<Net> * 4;
    text.append("Total params: ").append_number(parameter_count<Net>, true);
    if (parameter_count_per_run<Net> > parameter_count<Net>)
        text.append("\nLayers that repeat count once; torchsummary would count ")
            .append_number(parameter_count_per_run<Net>, true);
    if (deployed_parameter_count<Net> < parameter_count<Net>)
        text.append("\nParams when deployed, with folded branches: ")
            .append_number(deployed_parameter_count<Net>, true);
    if (parameter_count<Trained> > parameter_count<Net>)
        text.append("\nParams while training: ").append_number(parameter_count<Trained>, true);
    text.append("\nTrainable params: ").append_number(trainable_parameters<Net>, true);
    text.append("\nNon-trainable params: ").append_number(non_trainable_parameters<Net>, true);
    text.append("\nMultiply-adds: ").append_number(multiply_adds<Net>, true).append('\n');
    append_rule(text, '-');
    text.append("Input size (MB): ").append(megabytes(input_bytes).view());
    text.append("\nForward/backward pass size (MB): ").append(megabytes(pass_bytes).view());
    text.append("\nParams size (MB): ").append(megabytes(parameter_bytes).view());
    text.append("\nEstimated Total Size (MB): ").append(megabytes(input_bytes + pass_bytes + parameter_bytes).view());
    text.append('\n');
    append_rule(text, '-');
    return text;
}();

}  // namespace detail

/// torchsummary's table as a null-terminated string made at compile time: every layer with its output shape and
/// parameters (statistics included), the totals, the multiply-adds of one image, and sizes in MB for one image in
/// float32. Of a NetAug they are those of its student.
template <class Net>
constexpr const char* summary() {
    static_assert(sizeof(Net) + sizeof(detail::Refusal<detail::NotANetwork<Net>>) > 0);
    if constexpr (NetworkType<Net>)
        return detail::summary_text<Net>.data();
    else
        return "";
}

}  // namespace bantam
