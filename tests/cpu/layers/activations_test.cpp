// SPDX-License-Identifier: MIT
#define BOOST_TEST_MODULE cpu_activations
#include "layer_passes.hpp"

#include <bantam/cpu/layers/activations.hpp>
#include <bantam/cpu/layers/gate.hpp>
#include <bantam/layers/activations.hpp>
#include <bantam/layers/gate.hpp>

#include <cmath>
#include <limits>
#include <string_view>

using namespace bantam;

namespace {

/// Calls `body.operator()<Act>()` for each of the `Acts`.
template <class Body, class... Acts>
void for_each_activation(ActivationList<Acts...>, const Body& body) {
    (body.template operator()<Acts>(), ...);
}

template <class S>
constexpr S infinity = std::numeric_limits<S>::infinity();
template <class S>
constexpr S nan = std::numeric_limits<S>::quiet_NaN();

/// Where activations have their kinks and limits, and beyond.
template <class S>
constexpr S notable[] = {S(-7), S(-3),  S(-1),   S(-0.0), S(0),        S(0.5),       S(3),
                         S(6),  S(6.5), S(1000), S(1e30), infinity<S>, -infinity<S>, nan<S>};

template <class S>
bool same(S a, S b) {
    return (std::isnan(a) && std::isnan(b)) || std::abs(a - b) <= 4 * std::numeric_limits<S>::epsilon() || a == b;
}

/// A packet gets what a scalar gets, in every lane.
template <class Act, class S, int Width>
void packet_equals_scalar() {
    using Function = exec::ActivationFunction<Act>;
    for (const S x : notable<S>) {
        const cpu::Packet<S, Width> packet = cpu::Packet<S, Width>::Constant(x);
        const cpu::Packet<S, Width> value = Function::value(packet), derivative = Function::derivative(packet);
        for (int lane = 0; lane < Width; ++lane) {
            BOOST_TEST(same(value[lane], Function::value(x)),
                       Act::name << " of " << x << " is " << value[lane] << ", as a scalar " << Function::value(x));
            BOOST_TEST(same(derivative[lane], Function::derivative(x)),
                       "derivative of " << Act::name << " at " << x << " is " << derivative[lane] << ", as a scalar "
                                        << Function::derivative(x));
        }
    }
}

template <class Act, class S>
void keeps_nan() {
    using Function = exec::ActivationFunction<Act>;
    BOOST_TEST(std::isnan(Function::value(nan<S>)), Act::name << " of a scalar");
    const cpu::Packet<S, cpu::lanes<S>> whole = Function::value(cpu::to_packet<S>(cpu::broadcast(nan<S>)));
    const cpu::Packet<S, 3> end = Function::value(cpu::Packet<S, 3>::Constant(nan<S>).eval());
    BOOST_TEST(whole.isNaN().all(), Act::name << " of a whole packet");
    BOOST_TEST(end.isNaN().all(), Act::name << " of a shorter packet");

    // In a map, where a packet may be of any width.
    cpu::Model<Network<Image<1, 1, 19>, Act>, S> model;
    for (int at = 0; at < 19; ++at) {
        S input[19] = {}, output[19] = {};
        input[at] = nan<S>;
        model.infer(input, 1, output);
        for (int i = 0; i < 19; ++i) BOOST_TEST(std::isnan(output[i]) == (i == at), Act::name << ", channel " << i);
    }
}

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

BOOST_AUTO_TEST_CASE(packets_equal_scalars) {
    for_each_activation(AllActivations{}, []<class Act>() {
        packet_equals_scalar<Act, float, cpu::lanes<float>>();
        packet_equals_scalar<Act, float, 3>();
        packet_equals_scalar<Act, double, cpu::lanes<double>>();
    });
}

BOOST_AUTO_TEST_CASE(a_nan_stays_a_nan) {
    for_each_activation(AllActivations{}, []<class Act>() {
        keeps_nan<Act, float>();
        keeps_nan<Act, double>();
    });
}

BOOST_AUTO_TEST_CASE(activations_pass) {
    for_each_activation(AllActivations{}, []<class Act>() { layer_passes<Act, Shape{3, 5, 3}>({3, 17}); });
}

BOOST_AUTO_TEST_CASE(gates_pass) {
    layer_passes<TanhExpGate, Shape{2, 3, 10}>();
    layer_passes<Gate<SiLU>, Shape{2, 3, 34}>({3});
    layer_passes<Gate<Sigmoid>, Shape{1, 1, 2}>({3});
}

BOOST_AUTO_TEST_CASE(values_far_from_zero_stay_finite) {
    for_each_activation(AllActivations{}, []<class Act>() { stays_finite<Act>(1000); });
    stays_finite<ReLU>(1e30f);
    stays_finite<ReLU6>(1e30f);
}
