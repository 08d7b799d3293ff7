// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/core/network.hpp>
#include <bantam/layers/activations.hpp>
#include <bantam/layers/batch_norm2d.hpp>
#include <bantam/layers/conv2d.hpp>
#include <bantam/layers/linear.hpp>
#include <bantam/layers/pooling.hpp>

namespace bantam {

/// The sample student of the course: four dense 3×3 convolutions without padding, each with bias,
/// batch norm and ReLU. With 11 classes 87,907 trainable parameters and 456 statistics.
template <int Classes, int Size = 128>
using Sample88k = Network<Image<Size, Size, 3>, Conv2d<32, 3, 1, ConvOptions{.padding = 0}>, BatchNorm2d, ReLU,
                          Conv2d<32, 3, 1, ConvOptions{.padding = 0}>, BatchNorm2d, ReLU, MaxPool2d<2>,
                          Conv2d<64, 3, 1, ConvOptions{.padding = 0}>, BatchNorm2d, ReLU, MaxPool2d<2>,
                          Conv2d<100, 3, 1, ConvOptions{.padding = 0}>, BatchNorm2d, ReLU, MaxPool2d<2>,
                          GlobalAveragePool, Linear<Classes>>;

}  // namespace bantam
