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

template <int Out, int KernelSize, int Stride>
using ResNetConv = Conv2d<Out, KernelSize, Stride, ConvOptions{.bias = false}>;

template <int Out, int Stride>
using BasicBody = Sequence<Named<"conv1", ResNetConv<Out, 3, Stride>>, Named<"bn1", BatchNorm2d>, ReLU,
                           Named<"conv2", ResNetConv<Out, 3, 1>>, Named<"bn2", BatchNorm2d>>;

template <int Out>
using BasicBlock = ResidualBlock<BasicBody<Out, 1>>;

template <int Out>
using DownsamplingBlock =
    ResidualBlock<BasicBody<Out, 2>, Named<"downsample", Sequence<ResNetConv<Out, 1, 2>, BatchNorm2d>>>;

}  // namespace detail

// Blocks get their names in this list, since nvcc 13.0 loses a Literal that is passed through an alias.
/// ResNet-18 (He et al., 2015) with torchvision's layers and tensor names, so that its checkpoints can be
/// loaded unchanged. With 10 classes 11,181,642 trainable parameters.
template <int Classes, int Size = 128>
using ResNet18 =
    Network<Image<Size, Size, 3>, Named<"conv1", detail::ResNetConv<64, 7, 2>>, Named<"bn1", BatchNorm2d>, ReLU,
            MaxPool2d<3, 2, 1>,  //
            Named<"layer1.0", detail::BasicBlock<64>>, ReLU, Named<"layer1.1", detail::BasicBlock<64>>, ReLU,
            Named<"layer2.0", detail::DownsamplingBlock<128>>, ReLU, Named<"layer2.1", detail::BasicBlock<128>>, ReLU,
            Named<"layer3.0", detail::DownsamplingBlock<256>>, ReLU, Named<"layer3.1", detail::BasicBlock<256>>, ReLU,
            Named<"layer4.0", detail::DownsamplingBlock<512>>, ReLU, Named<"layer4.1", detail::BasicBlock<512>>, ReLU,
            GlobalAveragePool, Named<"fc", Linear<Classes>>>;

}  // namespace bantam
