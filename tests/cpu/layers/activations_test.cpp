// SPDX-License-Identifier: MIT
#define BOOST_TEST_MODULE cpu_activations
#include "layer_cases.hpp"
#include "layer_passes.hpp"

#include <bantam/cpu/layers/activations.hpp>
#include <bantam/cpu/layers/gate.hpp>
#include <bantam/layers/activations.hpp>
#include <bantam/layers/gate.hpp>

#include <cmath>

using namespace bantam;

namespace {

/// Values and gradients are finite at ±`far`, and the value at `far` is `far` or the activation's limit.
template <class Act>
void stays_finite(float far) {
    cpu::Model<Network<Image<1, 1, 2>, Act>> model;
    const float input[] = {far, -far};
    const float ones[] = {1, 1};
    float output[2] = {}, input_gradient[2] = {};
    model.forward(input, 1, 0, output);
    model.backward(ones, nullptr, input_gradient);
    BOOST_TEST((output[0] == far || output[0] == 1 || output[0] == 6),
               Act::name << " of " << far << " is " << output[0]);
    for (const float value : {output[1], input_gradient[0], input_gradient[1]})
        BOOST_TEST(std::isfinite(value), Act::name << " gives " << value << " at " << far);
}

}  // namespace

BOOST_AUTO_TEST_CASE(gates_pass) {
    layer_passes<Gate<SiLU>, Shape{2, 3, 34}>({3});
    layer_passes<Gate<Sigmoid>, Shape{1, 1, 2}>({3});
}

BOOST_AUTO_TEST_CASE(values_far_from_zero_stay_finite) {
    layer_cases::for_each_activation(
        AllActivations{},
        []<class Act, Shape Input>(const layer_cases::Case<Act, Input>&) { stays_finite<Act>(1000); });
    stays_finite<ReLU>(1e30f);
    stays_finite<ReLU6>(1e30f);
}
