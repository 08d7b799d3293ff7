// SPDX-License-Identifier: MIT
// Networks for the tests of deployed networks. They bring in no arithmetic, so that other compilers read them quickly.
#pragma once

#include <bantam/core/network.hpp>
#include <bantam/layers/activations.hpp>
#include <bantam/layers/batch_norm2d.hpp>
#include <bantam/layers/branches.hpp>
#include <bantam/layers/channel_shuffle.hpp>
#include <bantam/layers/conv2d.hpp>
#include <bantam/layers/depthwise_conv2d.hpp>
#include <bantam/layers/depthwise_separable.hpp>
#include <bantam/layers/dropout.hpp>
#include <bantam/layers/flatten.hpp>
#include <bantam/layers/gate.hpp>
#include <bantam/layers/inverted_residual.hpp>
#include <bantam/layers/layer_norm.hpp>
#include <bantam/layers/linear.hpp>
#include <bantam/layers/pooling.hpp>
#include <bantam/layers/residual.hpp>
#include <bantam/layers/squeeze_excite.hpp>
#include <bantam/models/ensemble.hpp>

namespace deployed {

using namespace bantam;

/// Residual blocks of every kind, with activations that no convolution applies.
using ResidualNet =
    Network<Image<24, 24, 3>, Conv2d<16, 3, 2>, BatchNorm2d, SiLU,  //
            Residual<Conv2d<16, 3, 1, ConvOptions{.bias = false}>, BatchNorm2d, ReLU, Conv2d<16, 3>>, ReLU,
            ProjectedResidual<Sequence<Conv2d<24, 1, 2>, BatchNorm2d>, Conv2d<24, 3, 2>, HardSwish, Conv2d<24, 3>>,
            ScaledResidual<Scale::body, DepthwiseConv2d<5>, GELU, PointwiseConv2d<24>>,  //
            ScaledResidual<Scale::shortcut, DepthwiseConv2d<3>, LeakyReLU>, InvertedResidual<24, 1, 2>,
            InvertedResidual<32, 2, 3>, GlobalAveragePool, Dropout<20>, Linear<10>>;

/// Everything else: branches, gates, pools, groups, dilation, kernels that are not square, odd shapes, norms that stand
/// alone.
using BranchingNet = Network<
    Image<19, 22, 3>, BatchNorm2d, Conv2d<12, 3, 1, ConvOptions{.padding = 2, .dilation = 2}>, TanhExp,
    MaxPool2d<3, 2, 1>,
    SplitConcatenate<Identity, Conv2d<4, Size2d{3, 5}>, Sequence<AvgPool2d<Size2d{3, 1}, 1, Size2d{1, 0}>, Sigmoid>>,
    Concatenate<Conv2d<6, 1>, Sequence<DepthwiseConv2d<Size2d{1, 5}>, BatchNorm2d, ReLU6>>,
    Conv2d<18, 3, 1, ConvOptions{.groups = 6}>, Gate<HardSigmoid>, Add<Identity, Conv2d<9, 3>, ReLU>, ReLU6,
    BatchNorm2d, Conv2d<18, 3, 1, ConvOptions{.padding = 0, .groups = 9}>, AvgPool2d<2>, Flatten,
    Linear<13, Bias::without>, BatchNorm2d, ReLU, Linear<7>>;

/// Shortcuts around kernels of all sizes on odd shapes, and other paths beside the input.
using ShortcutNet = Network<
    Image<21, 27, 3>, Conv2d<17, 3>, ReLU6, Residual<DepthwiseSeparable<17, 1, 5>>, DepthwiseSeparable<19, 2, 7>,
    Residual<Conv2d<19, 3>, BatchNorm2d, ReLU6, DepthwiseConv2d<7>, BatchNorm2d>,
    ProjectedResidual<Sequence<Conv2d<21, 1, 2>, BatchNorm2d>, DepthwiseConv2d<5, 2>, ReLU, PointwiseConv2d<21>>, ReLU,
    Residual<DepthwiseSeparable<21>>, PointwiseConv2d<18>,
    Add<Sequence<DepthwiseConv2d<3, 1, ConvOptions{.padding = 2, .dilation = 2}>, ReLU>, Identity, Conv2d<18, 3>>,
    Concatenate<Identity, DepthwiseConv2d<5>>, PointwiseConv2d<12>, GlobalAveragePool, Linear<5>>;

/// A layer that needs its whole input before its first output.
using GatedNet = Network<Image<11, 9, 3>, Conv2d<8, 3>, ReLU, SqueezeExcite<2>, Conv2d<6, 3>, SqueezeExcite<2, SiLU>,
                         GlobalAveragePool, Linear<3>>;

/// Norms over the channels, channels in another order, and a learned scale.
using NormedNet = Network<Image<12, 12, 3>, Conv2d<8, 3>, LayerNorm, ReLU, ChannelShuffle<4>,
                          ScaledResidual<Scale::body, DepthwiseConv2d<3>>, TanhExpGate, Conv2d<12, 3, 2>, ReLU6,
                          LayerNorm, Flatten, Linear<5>>;

using SmallEnsemble = Ensemble<Network<Image<16, 16, 3>, Conv2d<8, 3, 2>, ReLU, GlobalAveragePool, Linear<4>>,
                               Network<Image<16, 16, 3>, Conv2d<6, 5, 3>, ReLU6, Flatten, Linear<4>>>;

/// A network whose last layer is no linear one.
using PooledNet = Network<Image<10, 14, 1>, Conv2d<8, 3>, ReLU, Conv2d<5, 3>, GlobalAveragePool>;

/// The network of golden_student.hpp.
using GoldenNet = Network<Image<18, 15, 3>, Conv2d<8, 3, 2, ConvOptions{.bias = false}>, BatchNorm2d, ReLU6,
                          Residual<DepthwiseSeparable<8>>, InvertedResidual<8, 1, 2>, MaxPool2d<2>, Conv2d<7, 1>, ReLU,
                          GlobalAveragePool, Linear<5>>;

}  // namespace deployed
