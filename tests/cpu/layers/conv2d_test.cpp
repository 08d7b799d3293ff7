// SPDX-License-Identifier: MIT
#define BOOST_TEST_MODULE cpu_conv2d
#include "layer_passes.hpp"

#include <bantam/layers/conv2d.hpp>

using namespace bantam;

BOOST_AUTO_TEST_CASE(dense_convolutions_with_odd_channels_pass) {
    layer_passes<Conv2d<5, 3>, Shape{5, 4, 3}>();
    layer_passes<Conv2d<19, 3>, Shape{4, 5, 7}>({3});
    layer_passes<Conv2d<4, 2, 1, ConvOptions{.padding = 0}>, Shape{5, 5, 3}>({3});
}

BOOST_AUTO_TEST_CASE(strides_paddings_and_dilations_pass) {
    layer_passes<Conv2d<5, 3, 2, ConvOptions{.bias = false}>, Shape{7, 6, 3}>({2});
    layer_passes<Conv2d<5, 5, 3, ConvOptions{.padding = 1}>, Shape{9, 8, 2}>({2});
    layer_passes<Conv2d<3, 3, 1, ConvOptions{.padding = 0, .dilation = 2}>, Shape{6, 7, 3}>({2});
    layer_passes<Conv2d<3, 3, 2, ConvOptions{.dilation = 3}>, Shape{6, 7, 3}>({2});
}

BOOST_AUTO_TEST_CASE(kernels_that_are_not_square_pass) {
    layer_passes<Conv2d<5, Size2d{1, 7}>, Shape{1, 12, 3}>({2});
    layer_passes<Conv2d<5, Size2d{7, 1}, 2>, Shape{9, 4, 3}>({2});
    layer_passes<Conv2d<4, Size2d{3, 5}, Size2d{3, 1}, ConvOptions{.padding = {0, 4}, .dilation = {1, 2}}>,
                 Shape{7, 8, 2}>({2});
}

BOOST_AUTO_TEST_CASE(groups_pass) {
    layer_passes<Conv2d<6, 3, 1, ConvOptions{.groups = 3}>, Shape{4, 4, 9}>({2});
    layer_passes<Conv2d<8, 4, 2, ConvOptions{.padding = 1, .groups = 4, .bias = false}>, Shape{6, 6, 12}>({2});
    layer_passes<Conv2d<6, 1, 1, ConvOptions{.groups = 2}>, Shape{3, 3, 4}>({2});
}

BOOST_AUTO_TEST_CASE(maps_smaller_than_the_kernel_pass_with_padding) {
    layer_passes<Conv2d<3, 5>, Shape{2, 1, 3}>();
    layer_passes<Conv2d<3, 3, 2>, Shape{1, 1, 2}>({1, 3});
    layer_passes<Conv2d<3, 7, 1, ConvOptions{.padding = 6, .dilation = 2}>, Shape{3, 2, 2}>({2});
}

BOOST_AUTO_TEST_CASE(a_convolution_with_many_channels_passes) { layer_passes<Conv2d<4, 3>, Shape{3, 3, 130}>({2}); }

BOOST_AUTO_TEST_CASE(pointwise_convolutions_pass) {
    layer_passes<PointwiseConv2d<5>, Shape{3, 3, 7}>();
    layer_passes<PointwiseConv2d<33, ConvOptions{.bias = false}>, Shape{5, 2, 17}>({3});
    layer_passes<PointwiseConv2d<1>, Shape{2, 2, 1}>({3});
    layer_passes<Conv2d<5, 1, 2>, Shape{5, 4, 3}>({2});
    layer_passes<Conv2d<5, 1, 1, ConvOptions{.padding = 1}>, Shape{3, 3, 3}>({2});
}
