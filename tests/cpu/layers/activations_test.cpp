// SPDX-License-Identifier: MIT
#define BOOST_TEST_MODULE cpu_activations
#include "layer_passes.hpp"

#include <bantam/cpu/layers/activations.hpp>
#include <bantam/layers/activations.hpp>
#include <bantam/layers/gate.hpp>

#include <cmath>

using namespace bantam;

namespace {

/// A vector in registers gets what an array gets, in every lane.
template <class Act, class S>
void is_the_same_in_registers() {
    static_assert(cpu::takes_few_instructions<Act>);
    for (const S x : {S(-7), S(-3), S(-1), S(-0.0), S(0), S(0.5), S(3), S(6), S(6.5), S(1e30), cpu::infinity<S>,
                      -cpu::infinity<S>, std::numeric_limits<S>::quiet_NaN()}) {
        const cpu::Vector<S> sums = cpu::broadcast(x);
        const cpu::Vector<S> values = cpu::ActivationArithmetic<Act>::value(sums);
        const S expected = cpu::ActivationArithmetic<Act>::value(cpu::Packet<S, 1>::Constant(x).eval())[0];
        for (int lane = 0; lane < cpu::lanes<S>; ++lane)
            BOOST_TEST((values[lane] == expected || (std::isnan(values[lane]) && std::isnan(expected))),
                       x << " becomes " << values[lane] << ", expected " << expected);
    }
}

}  // namespace

BOOST_AUTO_TEST_CASE(activations_in_registers_are_the_same_and_keep_nan) {
    is_the_same_in_registers<Identity, float>();
    is_the_same_in_registers<ReLU, float>();
    is_the_same_in_registers<ReLU, double>();
    is_the_same_in_registers<ReLU6, float>();
    is_the_same_in_registers<ReLU6, double>();
    is_the_same_in_registers<HardSigmoid, float>();
    is_the_same_in_registers<HardSwish, float>();
    is_the_same_in_registers<HardSwish, double>();
}

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
