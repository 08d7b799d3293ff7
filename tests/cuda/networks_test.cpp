// SPDX-License-Identifier: MIT
// Whole networks on the device give what the CPU gives, one layer after the other and fused.
#define BOOST_TEST_MODULE cuda_networks
#include "cuda/compare_devices.hpp"

#include <bantam/bantam.hpp>
#include <bantam/models/sample.hpp>
#include <bantam/models/tiniest.hpp>

using namespace bantam;

BOOST_AUTO_TEST_CASE(the_default_student_agrees) { devices_agree<Mobile98k<11, 32>>({2, 5}); }

BOOST_AUTO_TEST_CASE(the_default_student_agrees_with_fused_stages) {
    using Net = Mobile98k<11, 32>;
    agree(run_on_device<Net, double>(5), run<Net, double, true>(5, 2), 1e-10);
    agree(run_on_device<Net, float>(5), run<Net, float, true>(5, 2), 2e-4);
}

BOOST_AUTO_TEST_CASE(layer_norms_gates_and_branches_agree) {
    agree(run_on_device<Tiniest97k<10>, float>(1), run<Tiniest97k<10>, float, false>(1, 2), 1e-4);
}

BOOST_AUTO_TEST_CASE(an_ensemble_agrees) {
    using Member = Network<Image<8, 8, 3>, Conv2d<4, 3, 2>, BatchNorm2d, ReLU, GlobalAveragePool, Linear<5>>;
    using Other = Network<Image<8, 8, 3>, DepthwiseSeparable<6>, Repeat<3, DepthwiseSeparable<6>, Dropout<10>>,
                          GlobalAveragePool, Linear<5>>;
    devices_agree<Ensemble<Member, Other>>({2, 5});
}
