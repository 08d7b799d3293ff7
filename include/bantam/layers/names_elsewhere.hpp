// SPDX-License-Identifier: MIT
#pragma once

// What PyTorch and Keras call layers that have another name here, and how they write their arguments. A network with
// one of them does not compile, and the error says what to write.

#include <bantam/core/layer.hpp>
#include <bantam/core/text.hpp>
#include <bantam/layers/conv2d.hpp>
#include <bantam/layers/conv_transpose2d.hpp>
#include <bantam/layers/dropout.hpp>
#include <bantam/layers/linear.hpp>
#include <bantam/layers/pooling.hpp>

#include <string_view>

namespace bantam {
namespace detail {

template <Literal Name, Literal Advice>
struct NameElsewhere : Layer {
    static constexpr std::string_view name = Name.view();
    static constexpr std::string_view argument_error() { return Advice.view(); }
};

}  // namespace detail

struct BatchNorm : detail::NameElsewhere<"BatchNorm", "it is BatchNorm2d here"> {};
struct BatchNormalization : detail::NameElsewhere<"BatchNormalization", "it is BatchNorm2d here"> {};
struct BatchNorm1d : detail::NameElsewhere<"BatchNorm1d", "it is BatchNorm2d here, after a Linear layer, too"> {};
struct GlobalAveragePooling2D : detail::NameElsewhere<"GlobalAveragePooling2D", "it is GlobalAveragePool here"> {};
struct GlobalAvgPool : detail::NameElsewhere<"GlobalAvgPool", "it is GlobalAveragePool here"> {};
struct GlobalAvgPool2d : detail::NameElsewhere<"GlobalAvgPool2d", "it is GlobalAveragePool here"> {};
struct Hardsigmoid : detail::NameElsewhere<"Hardsigmoid", "it is HardSigmoid here"> {};
struct Hardswish : detail::NameElsewhere<"Hardswish", "it is HardSwish here"> {};
struct LogSoftmax
    : detail::NameElsewhere<"LogSoftmax", "leave it out: a network ends with its logits, and the loss does the rest"> {
};

struct Swish : detail::NameElsewhere<"Swish", "it is SiLU here"> {};

template <auto...>
struct AveragePooling2D : detail::NameElsewhere<"AveragePooling2D", "it is AvgPool2d<kernel_size, stride> here"> {};
template <auto...>
struct AvgPool : detail::NameElsewhere<"AvgPool", "it is AvgPool2d<kernel_size, stride> here"> {};
template <auto...>
struct Conv1d : detail::NameElsewhere<"Conv1d",
                                      "it is Conv2d<out_channels, Size2d{1, kernel_size}> on an "
                                      "Image<1, length, channels> here"> {};
template <auto...>
struct Conv2D : detail::NameElsewhere<"Conv2D", "it is Conv2d<out_channels, kernel_size, stride> here"> {};
template <auto...>
struct Conv2DTranspose
    : detail::NameElsewhere<"Conv2DTranspose", "it is ConvTranspose2d<out_channels, kernel_size, stride> here"> {};
template <auto...>
struct Dense : detail::NameElsewhere<"Dense", "it is Linear<outputs> here"> {};
template <auto...>
struct MaxPool : detail::NameElsewhere<"MaxPool", "it is MaxPool2d<kernel_size, stride> here"> {};
template <auto...>
struct MaxPool2D : detail::NameElsewhere<"MaxPool2D", "it is MaxPool2d<kernel_size, stride> here"> {};
template <auto...>
struct MaxPooling2D : detail::NameElsewhere<"MaxPooling2D", "it is MaxPool2d<kernel_size, stride> here"> {};
template <auto...>
struct SeparableConv2D
    : detail::NameElsewhere<"SeparableConv2D", "it is DepthwiseSeparable<out_channels, stride> here"> {};

template <class...>
struct Sequential
    : detail::NameElsewhere<"Sequential",
                            "layers inside a network are Sequence<layers...>; a network is Network<...>"> {};

// `Conv2d(3, 16, 3)` as a template argument is an expression, for which a compiler looks for a deduction guide. g++
// prints a static_assert in its result; clang prints an attribute, and after a static_assert all candidates, too.
#define BANTAM_PARENTHESES \
    "a layer is a type: write its arguments in angle brackets, without the input channels, which are deduced"
#ifdef __clang__
#define BANTAM_UNAVAILABLE __attribute__((unavailable(BANTAM_PARENTHESES)))
#else
#define BANTAM_UNAVAILABLE
#endif

namespace detail {

template <class... Arguments>
struct InParentheses {
#ifndef __clang__
    static_assert(sizeof...(Arguments) > 1000, BANTAM_PARENTHESES);
#endif
    static constexpr int value = 1;
};

}  // namespace detail

template <class... Arguments>
BANTAM_UNAVAILABLE AvgPool2d(Arguments...) -> AvgPool2d<detail::InParentheses<Arguments...>::value>;
template <class... Arguments>
BANTAM_UNAVAILABLE Conv2d(Arguments...) -> Conv2d<detail::InParentheses<Arguments...>::value, 1>;
template <class... Arguments>
BANTAM_UNAVAILABLE ConvTranspose2d(Arguments...) -> ConvTranspose2d<detail::InParentheses<Arguments...>::value, 1>;
template <class... Arguments>
BANTAM_UNAVAILABLE Dropout(Arguments...) -> Dropout<detail::InParentheses<Arguments...>::value>;
template <class... Arguments>
BANTAM_UNAVAILABLE Linear(Arguments...) -> Linear<detail::InParentheses<Arguments...>::value>;
template <class... Arguments>
BANTAM_UNAVAILABLE MaxPool2d(Arguments...) -> MaxPool2d<detail::InParentheses<Arguments...>::value>;

#undef BANTAM_UNAVAILABLE
#undef BANTAM_PARENTHESES

}  // namespace bantam
