// SPDX-License-Identifier: MIT
// Your student: change the layers, build again, train it with `--student my-student`. docs/layers.md lists every layer.
// For a second one copy this file: examples/students/wide.hpp with the namespace students::wide is `--student wide`.
#pragma once

#include <bantam/core/network.hpp>
#include <bantam/layers/all.hpp>

namespace students::my_student {

using namespace bantam;

template <int Classes, int Size>
using Network = bantam::Network<                                       //
    Image<Size, Size, 3>,                                              // height, width, channels
    Conv2d<16, 3, 2, ConvOptions{.bias = false}>, BatchNorm2d, ReLU6,  // output channels, kernel size, stride
    DepthwiseSeparable<32>, DepthwiseSeparable<64, 2>,                 //
    Residual<DepthwiseSeparable<64>>, DepthwiseSeparable<128, 2>,      //
    Residual<DepthwiseSeparable<128>>, DepthwiseSeparable<192, 2>,     //
    GlobalAveragePool, Linear<Classes>>;

// What --list-students shows; the best accuracy you have reached, if you like.
inline constexpr const char* accuracy = "-";

}  // namespace students::my_student
