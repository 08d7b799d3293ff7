// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/core/network.hpp>
#include <bantam/layers/activations.hpp>
#include <bantam/layers/batch_norm2d.hpp>
#include <bantam/layers/conv2d.hpp>
#include <bantam/layers/linear.hpp>
#include <bantam/layers/pooling.hpp>
#include <bantam/layers/residual.hpp>

namespace bantam {
namespace detail {

template <int Out, int Kernel, int Stride>
using ResNetConv = Conv2d<Out, Kernel, Stride, ConvOptions{.bias = false}>;

template <int Out, int Stride>
using BasicBody = Sequence<Named<"conv1", ResNetConv<Out, 3, Stride>>, Named<"bn1", BatchNorm2d>, ReLU,
                           Named<"conv2", ResNetConv<Out, 3, 1>>, Named<"bn2", BatchNorm2d>>;

template <Literal Name, int Out>
using BasicBlock = Sequence<Named<Name, ResidualBlock<BasicBody<Out, 1>>>, ReLU>;

template <Literal Name, int Out>
using DownsamplingBlock =
    Sequence<Named<Name, ResidualBlock<BasicBody<Out, 2>,
                                       Named<"downsample", Sequence<ResNetConv<Out, 1, 2>, BatchNorm2d>>>>,
             ReLU>;

}  // namespace detail

/// ResNet-18 (He et al., 2015) with torchvision's layers and tensor names, so that its checkpoints
/// load as they are. With 10 classes 11,181,642 trainable parameters.
template <int Classes, int Size = 128>
using ResNet18 =
    Network<Image<Size, Size, 3>, Named<"conv1", detail::ResNetConv<64, 7, 2>>, Named<"bn1", BatchNorm2d>,
            ReLU, MaxPool2d<3, 2, 1>,  //
            Named<"", detail::BasicBlock<"layer1.0", 64>>, Named<"", detail::BasicBlock<"layer1.1", 64>>,
            Named<"", detail::DownsamplingBlock<"layer2.0", 128>>, Named<"", detail::BasicBlock<"layer2.1", 128>>,
            Named<"", detail::DownsamplingBlock<"layer3.0", 256>>, Named<"", detail::BasicBlock<"layer3.1", 256>>,
            Named<"", detail::DownsamplingBlock<"layer4.0", 512>>, Named<"", detail::BasicBlock<"layer4.1", 512>>,
            GlobalAveragePool, Named<"fc", Linear<Classes>>>;

}  // namespace bantam
