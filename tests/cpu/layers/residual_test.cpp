// SPDX-License-Identifier: MIT
#define BOOST_TEST_MODULE cpu_residual
#include "layer_passes.hpp"

#include <bantam/layers/depthwise_separable.hpp>
#include <bantam/layers/inverted_residual.hpp>
#include <bantam/layers/repeat.hpp>
#include <bantam/layers/residual.hpp>

using namespace bantam;

using Body = Sequence<DepthwiseConv2d<3>, ReLU, PointwiseConv2d<5>>;

BOOST_AUTO_TEST_CASE(residuals_pass) {
    layer_passes<Residual<Body>, Shape{4, 3, 5}>();
    layer_passes<Residual<BatchNorm2d, SiLU>, Shape{3, 3, 5}>({3});
}

BOOST_AUTO_TEST_CASE(learned_scales_on_either_path_pass) {
    layer_passes<ScaledResidual<Scale::body, Body>, Shape{4, 3, 5}>();
    layer_passes<ScaledResidual<Scale::shortcut, Body>, Shape{4, 3, 5}>();
}

BOOST_AUTO_TEST_CASE(projections_pass) {
    using Projection = Sequence<Conv2d<7, 1, 2, ConvOptions{.bias = false}>, BatchNorm2d>;
    layer_passes<ProjectedResidual<Projection, Conv2d<7, 3, 2>, BatchNorm2d, ReLU, Conv2d<7, 3>>, Shape{5, 4, 3}>({3});
    layer_passes<ProjectedResidual<MaxPool2d<2>, DepthwiseConv2d<3, 2>>, Shape{4, 4, 3}>({2});
}

BOOST_AUTO_TEST_CASE(residuals_in_residuals_pass) {
    using Inner = Residual<DepthwiseConv2d<3>, TanhExp>;
    layer_passes<Residual<Inner, ScaledResidual<Scale::body, Inner>, PointwiseConv2d<3>>, Shape{3, 4, 3}>({1, 3});
}

BOOST_AUTO_TEST_CASE(repeats_pass) {
    layer_passes<Repeat<3, DepthwiseConv2d<3>, BatchNorm2d, SiLU>, Shape{4, 3, 5}>({3, 17});
    layer_passes<Repeat<2, Residual<Body>, Repeat<2, PointwiseConv2d<5>>>, Shape{4, 3, 5}>({3});
    layer_passes<Repeat<1, PointwiseConv2d<5>>, Shape{4, 3, 5}>({3});
}

BOOST_AUTO_TEST_CASE(mobile_blocks_pass) {
    layer_passes<DepthwiseSeparable<7, 2>, Shape{5, 4, 3}>({3});
    layer_passes<InvertedResidual<3, 1, 2, 3, SiLU>, Shape{4, 4, 3}>({3});
    layer_passes<InvertedResidual<5, 2, 2, 5, HardSwish>, Shape{5, 4, 3}>({3});
    layer_passes<InvertedResidual<5, 1, 1>, Shape{4, 4, 3}>({3});
}
