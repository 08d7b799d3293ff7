// SPDX-License-Identifier: MIT
// The layer and the activation that docs/adding-a-layer.md shows give on the device what they give on the CPU.
#define BOOST_TEST_MODULE cuda_docs_adding_a_layer
#include "cuda/compare_devices.hpp"

#include "docs/cpu/layers/learned_scale.hpp"
#include "docs/cuda/layers/learned_scale.hpp"
#include "docs/layers/squared_relu.hpp"

#include <bantam/bantam.hpp>

using namespace bantam;

BOOST_AUTO_TEST_CASE(the_layer_agrees) { devices_agree<Network<Image<5, 4, 3>, LearnedScale>>(); }

BOOST_AUTO_TEST_CASE(a_network_that_holds_it_agrees) {
    devices_agree<Network<Image<6, 5, 3>, Conv2d<4, 3>, LearnedScale, ReLU, GlobalAveragePool>>();
}

BOOST_AUTO_TEST_CASE(the_activation_agrees) {
    devices_agree<Network<Image<5, 4, 3>, SquaredReLU>>();
    devices_agree<Network<Image<5, 4, 3>, PointwiseConv2d<4>, BatchNorm2d, SquaredReLU>>();
}
