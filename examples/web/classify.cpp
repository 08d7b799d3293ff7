// SPDX-License-Identifier: MIT
// A student as a WebAssembly module. The page writes a picture's colors into the module's memory and reads the logits.
// Pictures are resized by the functions that training uses, so that the page and the programs see the same pixels.
#include "student.hpp"

#include <bantam/core/network.hpp>
#include <bantam/data/resize.hpp>
#include <bantam/data/view.hpp>
#include <bantam/deploy/classifier.hpp>
#include <bantam/deploy/self_test.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <iterator>
#include <type_traits>
#include <vector>

using namespace bantam;

// The page has no console for messages of the library: a failed allocation ends the call.
void* operator new(std::size_t bytes) {
    if (void* memory = std::malloc(bytes)) return memory;
    __builtin_trap();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace {

using Net = student::Network;
using Classifier = deploy::Classifier<Net, student::Precision>;
constexpr Shape input = input_shape<Net>;
static_assert(input.channels == 3, "the page shows color pictures");

Classifier classifier{student::weights};
std::vector<std::uint8_t> picture;  // as it was opened, [height][width][3]

/// Where the network's logit counts fractions, those of its unit.
constexpr float logit_unit = [] {
    if constexpr (std::is_same_v<student::Precision, deploy::Int8>)
        return static_cast<float>(deploy::Int8::logit_unit);
    else
        return 1.0F;
}();

constexpr const LayerEntry& layer(int index) { return layer_table<Net>[static_cast<std::size_t>(index)]; }

}  // namespace

#define BANTAM_EXPORT(name) extern "C" __attribute__((export_name(#name)))

// With a call of its own the linker does not wrap every export in the constructors.
extern "C" void __wasm_call_ctors();
BANTAM_EXPORT(initialize) void initialize() { __wasm_call_ctors(); }

/// Memory for a picture [height][width][4] of red, green, blue, opacity; valid until the next call.
BANTAM_EXPORT(open_picture) std::uint8_t* open_picture(int height, int width) {
    picture.resize(static_cast<std::size_t>(height) * static_cast<std::size_t>(width) * 4);
    return picture.data();
}

/// The most likely class of the picture in that memory.
BANTAM_EXPORT(classify_picture) int classify_picture(int height, int width) {
    const std::size_t pixels = static_cast<std::size_t>(height) * static_cast<std::size_t>(width);
    for (std::size_t i = 0; i < pixels; ++i) std::copy_n(picture.data() + 4 * i, 3, picture.data() + 3 * i);

    constexpr Index stored_size = student::stored_size;
    std::vector<std::uint8_t> stored(static_cast<std::size_t>(stored_size * stored_size * 3));
    resize_rgb(picture.data(), height, width, stored.data(), stored_size, stored_size);
    std::vector<float> colors(static_cast<std::size_t>(element_count(input)));
    cut_view(stored.data(), stored_size, whole_view(), input, colors.data(), {});
    std::vector<std::uint8_t> bytes(colors.size());
    std::transform(colors.begin(), colors.end(), bytes.begin(),
                   [](float color) { return static_cast<std::uint8_t>(color + 0.5F); });
    return classifier.classify(bytes.data());
}

/// Whether this module computes the logits of the program that exported the student.
BANTAM_EXPORT(self_test) bool self_test() {
    std::vector<std::uint8_t> bytes(static_cast<std::size_t>(element_count(input)));
    return deploy::logits_match(deploy::test_logits(classifier, bytes.data()), student::expected_test_logits,
                                Classifier::class_count);
}

BANTAM_EXPORT(class_count) int count_classes() { return static_cast<int>(Classifier::class_count); }
BANTAM_EXPORT(class_name) const char* class_name(int index) { return student::class_names[index]; }
BANTAM_EXPORT(logit) float logit(int index) { return static_cast<float>(classifier.logits()[index]) / logit_unit; }

BANTAM_EXPORT(input_height) int input_height() { return static_cast<int>(input.height); }
BANTAM_EXPORT(input_width) int input_width() { return static_cast<int>(input.width); }
BANTAM_EXPORT(is_int8) bool is_int8() { return std::is_same_v<student::Precision, deploy::Int8>; }
BANTAM_EXPORT(parameters) int parameters() { return static_cast<int>(parameter_count<Net>); }
BANTAM_EXPORT(multiply_adds) int count_multiply_adds() { return static_cast<int>(Classifier::multiply_adds); }
BANTAM_EXPORT(weight_bytes) int count_weight_bytes() { return static_cast<int>(Classifier::weight_bytes); }
BANTAM_EXPORT(arena_bytes) int count_arena_bytes() { return static_cast<int>(Classifier::arena_bytes); }

BANTAM_EXPORT(layer_count) int layer_count() { return static_cast<int>(std::size(layer_table<Net>)); }
BANTAM_EXPORT(layer_name) const char* layer_name(int index) { return layer(index).name.data(); }
BANTAM_EXPORT(layer_name_length) int layer_name_length(int index) { return static_cast<int>(layer(index).name.size()); }
BANTAM_EXPORT(layer_channels) int layer_channels(int index) { return static_cast<int>(layer(index).output.channels); }
BANTAM_EXPORT(layer_height) int layer_height(int index) { return static_cast<int>(layer(index).output.height); }
BANTAM_EXPORT(layer_width) int layer_width(int index) { return static_cast<int>(layer(index).output.width); }
BANTAM_EXPORT(layer_parameters) int layer_parameters(int index) {
    return static_cast<int>(layer(index).trainable + layer(index).non_trainable);
}
BANTAM_EXPORT(layer_multiply_adds) int layer_multiply_adds(int index) {
    return static_cast<int>(layer(index).multiply_adds);
}
