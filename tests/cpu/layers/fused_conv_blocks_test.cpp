// SPDX-License-Identifier: MIT
// Laws of fused stages: every pattern of neighbors that runs as one equals its layers one by one.
// Single convolutions of all kinds are in fusion_convolutions_test.cpp.
#define BOOST_TEST_MODULE cpu_fusion
#include "cpu/compare_models.hpp"

#include <bantam/bantam.hpp>

using namespace bantam;

namespace {

constexpr ConvOptions no_bias{.bias = false};

/// Neighbors that do not fuse, since something stands between them that passes its input on.
/// Layers inside a block fuse in an unfused model, too, so that the reference needs this.
template <class... Ls>
using Apart = Sequence<Sequence<Ls, Identity>...>;

/// Convolutions of all kinds, one after the other.
template <int Channels>
using Run = Sequence<Conv2d<Channels, 3, 1, no_bias>, BatchNorm2d, SiLU, DepthwiseConv2d<3>, BatchNorm2d, GELU,
                     PointwiseConv2d<12>, BatchNorm2d, DepthwiseConv2d<3, 2, no_bias>, BatchNorm2d, SiLU,
                     PointwiseConv2d<5>, BatchNorm2d>;

template <class Act>
void an_activation_fuses() {
    fused_equals_single_layers<Network<Image<3, 5, 3>, PointwiseConv2d<5>, BatchNorm2d, Act>>();
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_norm_takes_the_activation_behind_it_along) {
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

BOOST_AUTO_TEST_CASE(a_run_fuses_with_the_average_behind_it) {
    fused_equals_single_layers<Network<Image<13, 11, 3>, Run<5>, GlobalAveragePool>>();
}

BOOST_AUTO_TEST_CASE(a_run_in_front_of_another_pooling_layer_fuses) {
    fused_equals_single_layers<Network<Image<11, 13, 1>, Run<20>, MaxPool2d<2>>>();
}

BOOST_AUTO_TEST_CASE(a_run_whose_last_stage_asks_for_lines_of_two_samples_at_once_fuses) {
    fused_equals_single_layers<
        Network<Image<14, 30, 3>, Conv2d<4, 5, 2>, BatchNorm2d, SiLU, PointwiseConv2d<5>, BatchNorm2d>>();
}

BOOST_AUTO_TEST_CASE(neighbors_of_a_run_stay_themselves) {
    // A convolution without norm on either side, and a norm too many.
    fused_equals_single_layers<Network<Image<5, 6, 3>, Conv2d<5, 3>, PointwiseConv2d<4>, BatchNorm2d, BatchNorm2d, SiLU,
                                       DepthwiseConv2d<3>, SiLU>>();
}

BOOST_AUTO_TEST_CASE(a_run_inside_a_residual_block_fuses) {
    using Body = Sequence<Conv2d<5, 3>, BatchNorm2d, SiLU, PointwiseConv2d<5>, BatchNorm2d>;
    using BodyApart = Apart<Conv2d<5, 3>, BatchNorm2d, SiLU, PointwiseConv2d<5>, BatchNorm2d>;
    fused_equals_single_layers<Network<Image<7, 9, 5>, Residual<Body>, SiLU>,
                               Network<Image<7, 9, 5>, Residual<BodyApart>, SiLU>>();
}

BOOST_AUTO_TEST_CASE(a_run_in_the_shortcut_of_a_residual_block_fuses) {
    using Projection = Sequence<Conv2d<4, 1, 2>, BatchNorm2d>;
    using ProjectionApart = Apart<Conv2d<4, 1, 2>, BatchNorm2d>;
    fused_equals_single_layers<Network<Image<7, 9, 3>, ProjectedResidual<Projection, Conv2d<4, 3, 2>>>,
                               Network<Image<7, 9, 3>, ProjectedResidual<ProjectionApart, Conv2d<4, 3, 2>>>>();
}

BOOST_AUTO_TEST_CASE(runs_inside_branches_fuse) {
    using Left = Sequence<PointwiseConv2d<4>, BatchNorm2d, SiLU>;
    using Right = Sequence<DepthwiseConv2d<3>, BatchNorm2d, GELU>;
    using LeftApart = Apart<PointwiseConv2d<4>, BatchNorm2d, SiLU>;
    using RightApart = Apart<DepthwiseConv2d<3>, BatchNorm2d, GELU>;
    fused_equals_single_layers<
        Network<Image<6, 7, 6>, Concatenate<Left, Right>, SplitConcatenate<Left, Right>>,
        Network<Image<6, 7, 6>, Concatenate<LeftApart, RightApart>, SplitConcatenate<LeftApart, RightApart>>>();
}
