// SPDX-License-Identifier: MIT
#define BOOST_TEST_MODULE cpu_squeeze_excite
#include "layer_passes.hpp"

#include <bantam/layers/batch_norm2d.hpp>
#include <bantam/layers/residual.hpp>
#include <bantam/layers/squeeze_excite.hpp>

using namespace bantam;

BOOST_AUTO_TEST_CASE(squeeze_and_excitation_passes) {
    layer_passes<SqueezeExcite<2>, Shape{3, 4, 6}>();
    layer_passes<SqueezeExcite<4, SiLU, HardSigmoid>, Shape{2, 3, 17}>({3});
    layer_passes<SqueezeExcite<16>, Shape{1, 1, 3}>({3});
}

BOOST_AUTO_TEST_CASE(custom_channel_gates_pass) {
    layer_passes<ChannelGate<GlobalAveragePool, PointwiseConv2d<3>, GELU>, Shape{3, 2, 3}>({1, 3});
    layer_passes<Residual<BatchNorm2d, SqueezeExcite<2>, SqueezeExcite<3>>, Shape{3, 2, 6}>({3});
}
