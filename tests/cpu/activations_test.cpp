// SPDX-License-Identifier: MIT
#define BOOST_TEST_MODULE cpu_activations
#include "layer_passes.hpp"

#include <bantam/layers/activations.hpp>
#include <bantam/layers/gate.hpp>

#include <cmath>

using namespace bantam;

BOOST_AUTO_TEST_CASE(activations_pass) {
    layer_passes<ReLU, Shape{3, 5, 3}>();
    layer_passes<ReLU6, Shape{3, 5, 3}>({3});
    layer_passes<LeakyReLU, Shape{3, 5, 3}>({3});
    layer_passes<Sigmoid, Shape{3, 5, 3}>({3});
    layer_passes<HardSigmoid, Shape{3, 5, 3}>({3});
    layer_passes<SiLU, Shape{3, 5, 3}>();
    layer_passes<HardSwish, Shape{3, 5, 3}>({3});
    layer_passes<GELU, Shape{3, 5, 3}>();
    layer_passes<TanhExp, Shape{3, 5, 3}>();
}

BOOST_AUTO_TEST_CASE(gates_pass) {
    layer_passes<TanhExpGate, Shape{2, 3, 10}>();
    layer_passes<Gate<SiLU>, Shape{2, 3, 34}>({3});
    layer_passes<Gate<Sigmoid>, Shape{1, 1, 2}>({3});
}

namespace {

template <class Act>
void stays_finite(const char* name, float far, float expected) {
    cpu::Model<Network<Image<1, 1, 2>, Act>> model;
    const float input[] = {far, -far};
    const float ones[] = {1, 1};
    float output[2] = {}, input_gradient[2] = {};
    model.forward(input, 1, 0, output);
    model.backward(ones, nullptr, input_gradient);
    BOOST_CHECK_MESSAGE(output[0] == expected, name << " of " << far << " is " << output[0]);
    for (const float value : {output[1], input_gradient[0], input_gradient[1]})
        BOOST_CHECK_MESSAGE(std::isfinite(value), name << " gives " << value << " at " << far);
}

}  // namespace

BOOST_AUTO_TEST_CASE(values_far_from_zero_stay_finite) {
    stays_finite<ReLU>("ReLU", 1e30f, 1e30f);
    stays_finite<ReLU6>("ReLU6", 1e30f, 6);
    stays_finite<Sigmoid>("Sigmoid", 1000, 1);
    stays_finite<SiLU>("SiLU", 1000, 1000);
    stays_finite<HardSwish>("HardSwish", 1000, 1000);
    stays_finite<GELU>("GELU", 1000, 1000);
    stays_finite<TanhExp>("TanhExp", 1000, 1000);
}
