// SPDX-License-Identifier: MIT
#define BOOST_TEST_MODULE cpu_linear
#include "layer_passes.hpp"

#include <bantam/layers/linear.hpp>

using namespace bantam;

BOOST_AUTO_TEST_CASE(linear_layers_pass) {
    layer_passes<Linear<5>, Shape{1, 1, 7}>();
    layer_passes<Linear<11, Bias::without>, Shape{1, 1, 33}>({3});
    layer_passes<Linear<1>, Shape{1, 1, 1}>({3});
}
