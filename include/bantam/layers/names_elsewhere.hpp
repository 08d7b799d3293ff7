// SPDX-License-Identifier: MIT
#pragma once

// What PyTorch and Keras call layers that have another name here. A network with one of them does not compile, and the
// error says what to write.

#include <bantam/core/layer.hpp>
#include <bantam/core/text.hpp>

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
struct BatchNorm1d : detail::NameElsewhere<"BatchNorm1d", "it is BatchNorm2d here, after a Linear layer, too"> {};
struct Hardsigmoid : detail::NameElsewhere<"Hardsigmoid", "it is HardSigmoid here"> {};
struct Hardswish : detail::NameElsewhere<"Hardswish", "it is HardSwish here"> {};
struct LogSoftmax
    : detail::NameElsewhere<"LogSoftmax", "leave it out: a network ends with its logits, and the loss does the rest"> {
};

template <auto...>
struct AvgPool : detail::NameElsewhere<"AvgPool", "it is AvgPool2d<kernel_size, stride> here"> {};
template <auto...>
struct Conv1d : detail::NameElsewhere<"Conv1d",
                                      "it is Conv2d<out_channels, Size2d{1, kernel_size}> on an "
                                      "Image<1, length, channels> here"> {};
template <auto...>
struct Conv2D : detail::NameElsewhere<"Conv2D", "it is Conv2d<out_channels, kernel_size, stride> here"> {};
template <auto...>
struct Dense : detail::NameElsewhere<"Dense", "it is Linear<outputs> here"> {};
template <auto...>
struct MaxPool : detail::NameElsewhere<"MaxPool", "it is MaxPool2d<kernel_size, stride> here"> {};

template <class...>
struct Sequential
    : detail::NameElsewhere<"Sequential",
                            "layers inside a network are Sequence<layers...>; a network is Network<...>"> {};

}  // namespace bantam
