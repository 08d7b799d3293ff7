// SPDX-License-Identifier: MIT
// A convolution of any kind fused with its norm and activation equals the three layers one by one.
#define BOOST_TEST_MODULE cpu_fused_convolutions
#include "cpu/compare_models.hpp"

#include <bantam/bantam.hpp>

using namespace bantam;

namespace {

template <int Height, int Width, int Channels, class Conv>
using Stage = Network<Image<Height, Width, Channels>, Conv, BatchNorm2d, SiLU>;

template <int Height, int Width, int Channels, class Conv>
void fuses(std::initializer_list<Index> counts = {5, 18}) {
    fused_equals_single_layers<Stage<Height, Width, Channels, Conv>>(counts);
}

constexpr ConvOptions no_bias{.bias = false};

}  // namespace

BOOST_AUTO_TEST_CASE(pointwise_convolutions_fuse) {
    fuses<13, 11, 3, PointwiseConv2d<20>>();
    fuses<6, 7, 1, PointwiseConv2d<1, no_bias>>();
}

BOOST_AUTO_TEST_CASE(a_convolution_fuses_with_a_norm_without_activation) {
    fused_equals_single_layers<Network<Image<6, 7, 12>, PointwiseConv2d<5>, BatchNorm2d>>();
}

BOOST_AUTO_TEST_CASE(depthwise_convolutions_fuse) {
    fuses<13, 11, 3, DepthwiseConv2d<3>>();
    fuses<6, 7, 20, DepthwiseConv2d<3, 1, no_bias>>();
    fuses<6, 7, 1, DepthwiseConv2d<3>>();
    fuses<7, 9, 5, DepthwiseConv2d<5>>();
    fuses<9, 7, 12, DepthwiseConv2d<7, 1, no_bias>>();
}

BOOST_AUTO_TEST_CASE(depthwise_convolutions_with_strides_and_dilation_fuse) {
    fuses<13, 11, 5, DepthwiseConv2d<3, 2>>();
    fuses<8, 6, 12, DepthwiseConv2d<3, 2, no_bias>>();
    fuses<11, 10, 3, DepthwiseConv2d<3, 3>>();
    fuses<7, 9, 3, DepthwiseConv2d<3, 1, ConvOptions{.dilation = 2}>>();
}

BOOST_AUTO_TEST_CASE(dense_convolutions_fuse) {
    fuses<13, 11, 3, Conv2d<5, 3>>();
    fuses<6, 7, 1, Conv2d<1, 3>>();
    fuses<7, 6, 3, Conv2d<12, 4, 1, ConvOptions{.padding = 1}>>();
    fuses<7, 9, 5, Conv2d<20, 3, 1, ConvOptions{.padding = 0}>>();
}

BOOST_AUTO_TEST_CASE(dense_convolutions_with_strides_fuse) {
    fuses<13, 11, 3, Conv2d<5, 3, 2>>();
    fuses<11, 13, 3, Conv2d<12, 7, 2, no_bias>>();
    fuses<5, 101, 3, Conv2d<4, 1, 2>>();
}

BOOST_AUTO_TEST_CASE(dense_convolutions_with_groups_and_dilation_fuse) {
    fuses<7, 9, 12, Conv2d<20, 3, 1, ConvOptions{.groups = 4}>>();
    fuses<7, 9, 3, Conv2d<5, 3, 1, ConvOptions{.dilation = 2}>>();
}

BOOST_AUTO_TEST_CASE(kernels_that_are_not_square_fuse) {
    fuses<6, 13, 3, Conv2d<5, Size2d{1, 7}, Size2d{1, 2}>>();
    fuses<13, 6, 5, DepthwiseConv2d<Size2d{5, 3}, Size2d{2, 1}>>();
}

BOOST_AUTO_TEST_CASE(convolutions_of_small_maps_in_bands_of_many_samples_fuse) {
    fuses<3, 3, 5, Conv2d<4, 3>>({5, 260});
}

// Inference of these computes 4×4 outputs at a time, see cpu/kernels/winograd_conv.hpp.
BOOST_AUTO_TEST_CASE(dense_convolutions_of_many_channels_fuse) {
    static_assert(cpu::winograd_is_faster<Conv2d<33, 3>, Shape{7, 10, 20}>());
    fused_equals_single_layers<Network<Image<7, 10, 20>, Conv2d<33, 3, 1, ConvOptions{.padding = 2}>, BatchNorm2d>>(
        {3, 18});
}

BOOST_AUTO_TEST_CASE(dense_convolutions_of_many_channels_fuse_with_each_other_and_with_a_layer_that_reads_lines) {
    fused_equals_single_layers<
        Network<Image<8, 12, 16>, Conv2d<24, 3, 1, no_bias>, BatchNorm2d, ReLU,
                Conv2d<16, 3, 1, ConvOptions{.padding = 0}>, BatchNorm2d, ReLU, DepthwiseConv2d<3>, BatchNorm2d>>(
        {5, 33});
}

BOOST_AUTO_TEST_CASE(few_channels_and_maps_smaller_than_a_tile_keep_the_direct_sum) {
    static_assert(!cpu::winograd_is_faster<Conv2d<32, 3>, Shape{8, 8, 3}>());
    static_assert(!cpu::winograd_is_faster<Conv2d<32, 3>, Shape{2, 2, 32}>());
    static_assert(!cpu::winograd_is_faster<Conv2d<32, 3, 2>, Shape{8, 8, 32}>());
}
