// SPDX-License-Identifier: MIT
// The formulas of activations on scalars and packets.
#define BOOST_TEST_MODULE exec_activation_functions
#include <boost/test/unit_test.hpp>

#include <bantam/cpu/runtime/math.hpp>
#include <bantam/exec/activation_functions.hpp>

#include <cmath>
#include <limits>

using namespace bantam;

namespace {

template <class S>
constexpr S infinity = std::numeric_limits<S>::infinity();
template <class S>
constexpr S nan = std::numeric_limits<S>::quiet_NaN();

/// Around the kinks and limits of activations, and far from them.
template <class S>
constexpr S finite[] = {S(-1000), S(-7), S(-3), S(-1), S(-0.0), S(0), S(0.5), S(3), S(6), S(6.5), S(1000)};

template <class S>
bool same(S a, S b) {
    return a == b || std::abs(a - b) <= 4 * std::numeric_limits<S>::epsilon() || (std::isnan(a) && std::isnan(b));
}

template <class Act, class S, int Width>
void packet_equals_scalar_at(S x) {
    using Function = exec::ActivationFunction<Act>;
    const cpu::Packet<S, Width> packet = cpu::Packet<S, Width>::Constant(x);
    const cpu::Packet<S, Width> value = Function::value(packet), derivative = Function::derivative(packet);
    const S expected = Function::value(x), expected_derivative = Function::derivative(x);
    for (int lane = 0; lane < Width; ++lane) {
        BOOST_TEST(same(value[lane], expected),
                   Act::name << " of " << x << " is " << value[lane] << ", as a scalar " << expected);
        BOOST_TEST(same(derivative[lane], expected_derivative), "derivative of " << Act::name << " at " << x << " is "
                                                                                 << derivative[lane] << ", as a scalar "
                                                                                 << expected_derivative);
    }
}

template <class Act, class S, int Width>
void packet_equals_scalar() {
    for (const S x : finite<S>) packet_equals_scalar_at<Act, S, Width>(x);
    if constexpr (exec::ActivationFunction<Act>::cheap)
        for (const S x : {infinity<S>, -infinity<S>, nan<S>}) packet_equals_scalar_at<Act, S, Width>(x);
}

template <class Act, class S, int Width>
void keeps_nan() {
    using Function = exec::ActivationFunction<Act>;
    BOOST_TEST(std::isnan(Function::value(nan<S>)), Act::name << " of a scalar");
    for (int at = 0; at < Width; ++at) {
        cpu::Packet<S, Width> x = cpu::Packet<S, Width>::Zero();
        x[at] = nan<S>;
        const cpu::Packet<S, Width> value = Function::value(x);
        for (int lane = 0; lane < Width; ++lane)
            BOOST_TEST(std::isnan(value[lane]) == (lane == at), Act::name << ", lane " << lane << " of " << Width);
    }
}

template <class... Acts>
void check_packets(ActivationList<Acts...>) {
    (packet_equals_scalar<Acts, float, cpu::lanes<float>>(), ...);
    (packet_equals_scalar<Acts, float, 3>(), ...);
    (packet_equals_scalar<Acts, double, cpu::lanes<double>>(), ...);
}

template <class... Acts>
void check_nan(ActivationList<Acts...>) {
    (keeps_nan<Acts, float, cpu::lanes<float>>(), ...);
    (keeps_nan<Acts, float, 3>(), ...);
    (keeps_nan<Acts, double, cpu::lanes<double>>(), ...);
    (keeps_nan<Acts, double, 1>(), ...);
}

}  // namespace

BOOST_AUTO_TEST_CASE(packets_equal_scalars) {
    check_packets(AllActivations{});
    check_packets(ActivationList<Identity>{});
}

BOOST_AUTO_TEST_CASE(a_nan_stays_a_nan) { check_nan(AllActivations{}); }
