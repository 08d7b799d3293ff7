// SPDX-License-Identifier: MIT
// The gradients of each layer of tests/layer_cases.hpp against finite differences.
#define BOOST_TEST_MODULE cpu_layer_cases
#include "layer_cases.hpp"
#include "layer_passes.hpp"

BOOST_AUTO_TEST_CASE(each_layer_passes) {
    layer_cases::for_each_layer([]<class L, bantam::Shape Input>(const layer_cases::Case<L, Input>& test) {
        if (test.mode == layer_cases::Mode::training) layer_passes<L, Input>({3, 17});
    });
}
