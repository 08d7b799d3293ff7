// SPDX-License-Identifier: MIT
#define BOOST_TEST_MODULE cpu_depthwise_conv2d
#include "layer_passes.hpp"

#include <bantam/layers/depthwise_conv2d.hpp>

using namespace bantam;

BOOST_AUTO_TEST_CASE(depthwise_convolutions_with_odd_channels_pass) {
    layer_passes<DepthwiseConv2d<3>, Shape{5, 4, 5}>();
    layer_passes<DepthwiseConv2d<3, 1, ConvOptions{.bias = false}>, Shape{4, 6, 19}>({3});
    layer_passes<DepthwiseConv2d<3, 2>, Shape{7, 6, 17}>({2});
    layer_passes<DepthwiseConv2d<1>, Shape{2, 3, 3}>({2});
    // More positions than are computed together, and a rest.
    layer_passes<DepthwiseConv2d<3>, Shape{3, 21, 3}>({2});
    layer_passes<DepthwiseConv2d<5, 2>, Shape{3, 39, 2}>({2});
}

BOOST_AUTO_TEST_CASE(channels_that_fill_vectors_pass) {
    layer_passes<DepthwiseConv2d<3, 1, ConvOptions{.bias = false}>, Shape{5, 6, 16}>({3});
    layer_passes<DepthwiseConv2d<3, 2, ConvOptions{.bias = false}>, Shape{6, 5, 32}>({3});
}

BOOST_AUTO_TEST_CASE(strides_paddings_and_dilations_pass) {
    layer_passes<DepthwiseConv2d<3, 3, ConvOptions{.padding = 0}>, Shape{8, 7, 3}>({2});
    layer_passes<DepthwiseConv2d<5, 2, ConvOptions{.padding = 1, .bias = false}>, Shape{6, 7, 3}>({2});
    layer_passes<DepthwiseConv2d<7, 1, ConvOptions{.dilation = 3}>, Shape{6, 5, 4}>({2});
    layer_passes<DepthwiseConv2d<2, 2, ConvOptions{.padding = 1}>, Shape{5, 5, 3}>({2});
    layer_passes<DepthwiseConv2d<3, 1, ConvOptions{.padding = 3}>, Shape{3, 4, 3}>({2});
}

BOOST_AUTO_TEST_CASE(kernels_that_are_not_square_pass) {
    layer_passes<DepthwiseConv2d<Size2d{1, 7}>, Shape{1, 12, 3}>({2});
    layer_passes<DepthwiseConv2d<Size2d{7, 1}, Size2d{1, 3}>, Shape{6, 7, 5}>({2});
    layer_passes<DepthwiseConv2d<Size2d{3, 5}, 2, ConvOptions{.padding = {0, 4}, .dilation = {1, 2}}>, Shape{7, 8, 4}>(
        {2});
}

BOOST_AUTO_TEST_CASE(maps_smaller_than_the_kernel_pass_with_padding) {
    layer_passes<DepthwiseConv2d<7>, Shape{2, 3, 3}>();
    layer_passes<DepthwiseConv2d<3, 2>, Shape{1, 1, 5}>({1, 3});
    layer_passes<DepthwiseConv2d<3>, Shape{2, 1, 5}>({2});
    layer_passes<DepthwiseConv2d<5, 1, ConvOptions{.dilation = 3}>, Shape{3, 2, 3}>({2});
}
