// SPDX-License-Identifier: MIT
#define BOOST_TEST_MODULE cpu_layer_norm
#include "layer_passes.hpp"

#include <bantam/layers/layer_norm.hpp>

using namespace bantam;

BOOST_AUTO_TEST_CASE(layer_norm_over_channels_passes) {
    layer_passes<LayerNorm, Shape{3, 4, 5}>();
    layer_passes<LayerNorm, Shape{2, 2, 16}>({3});
    layer_passes<LayerNorm, Shape{1, 1, 33}>({3});
    layer_passes<LayerNorm, Shape{2, 2, 1}>({3});
}
