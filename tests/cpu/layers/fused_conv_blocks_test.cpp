// SPDX-License-Identifier: MIT
// Every pattern of layers that is fused equals its layers one by one. fused_convolutions_test.cpp has single
// convolutions of all kinds.
#define BOOST_TEST_MODULE cpu_fused_conv_blocks
#include "cpu/compare_models.hpp"

#include <bantam/bantam.hpp>

using namespace bantam;

namespace {

constexpr ConvOptions no_bias{.bias = false};

/// Neighboring convolutions of all kinds, with norms and activations.
template <int Channels>
using ConvBlocks = Sequence<Conv2d<Channels, 3, 1, no_bias>, BatchNorm2d, SiLU, DepthwiseConv2d<3>, BatchNorm2d, GELU,
                            PointwiseConv2d<12>, BatchNorm2d, DepthwiseConv2d<3, 2, no_bias>, BatchNorm2d, SiLU,
                            PointwiseConv2d<5>, BatchNorm2d>;

template <class Act>
void an_activation_fuses() {
    fused_equals_single_layers<Network<Image<3, 5, 3>, PointwiseConv2d<5>, BatchNorm2d, Act>>();
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_norm_fuses_with_the_activation_behind_it) {
    fused_equals_single_layers<Network<Image<13, 11, 5>, BatchNorm2d, SiLU>>();
    fused_equals_single_layers<Network<Image<6, 7, 12>, MaxPool2d<2>, BatchNorm2d, ReLU6, BatchNorm2d, GELU>>();
}

BOOST_AUTO_TEST_CASE(every_activation_fuses) {
    an_activation_fuses<ReLU>();
    an_activation_fuses<ReLU6>();
    an_activation_fuses<LeakyReLU>();
    an_activation_fuses<Sigmoid>();
    an_activation_fuses<HardSigmoid>();
    an_activation_fuses<SiLU>();
    an_activation_fuses<HardSwish>();
    an_activation_fuses<GELU>();
    an_activation_fuses<TanhExp>();
}

BOOST_AUTO_TEST_CASE(conv_blocks_fuse_with_a_global_average) {
    fused_equals_single_layers<Network<Image<13, 11, 3>, ConvBlocks<5>, GlobalAveragePool>>();
}

BOOST_AUTO_TEST_CASE(conv_blocks_fuse_in_front_of_another_pooling_layer) {
    fused_equals_single_layers<Network<Image<11, 13, 1>, ConvBlocks<20>, MaxPool2d<2>>>();
}

BOOST_AUTO_TEST_CASE(conv_blocks_fuse_when_a_fetch_spans_two_samples) {
    fused_equals_single_layers<
        Network<Image<14, 30, 3>, Conv2d<4, 5, 2>, BatchNorm2d, SiLU, PointwiseConv2d<5>, BatchNorm2d>>();
}

BOOST_AUTO_TEST_CASE(layers_beside_conv_blocks_are_not_fused) {
    // A convolution without a norm on either side, and a second norm.
    fused_equals_single_layers<Network<Image<5, 6, 3>, Conv2d<5, 3>, PointwiseConv2d<4>, BatchNorm2d, BatchNorm2d, SiLU,
                                       DepthwiseConv2d<3>, SiLU>>();
}

BOOST_AUTO_TEST_CASE(conv_blocks_inside_a_residual_block_fuse) {
    using Body = Sequence<Conv2d<5, 3>, BatchNorm2d, SiLU, PointwiseConv2d<5>, BatchNorm2d>;
    fused_equals_single_layers<Network<Image<7, 9, 5>, Residual<Body>, SiLU>>();
}

BOOST_AUTO_TEST_CASE(conv_blocks_in_the_shortcut_of_a_residual_block_fuse) {
    using Projection = Sequence<Conv2d<4, 1, 2>, BatchNorm2d>;
    fused_equals_single_layers<Network<Image<7, 9, 3>, ProjectedResidual<Projection, Conv2d<4, 3, 2>>>>();
}

BOOST_AUTO_TEST_CASE(conv_blocks_inside_branches_fuse) {
    using Left = Sequence<PointwiseConv2d<4>, BatchNorm2d, SiLU>;
    using Right = Sequence<DepthwiseConv2d<3>, BatchNorm2d, GELU>;
    fused_equals_single_layers<Network<Image<6, 7, 6>, Concatenate<Left, Right>, SplitConcatenate<Left, Right>>>();
}
