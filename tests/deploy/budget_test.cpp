// SPDX-License-Identifier: MIT
// Students with a budget for a device's memory; what exceeds one is refused in tests/compile_fail.
#define BOOST_TEST_MODULE deploy_budget
#include <boost/test/unit_test.hpp>

#include <bantam/deploy/budget.hpp>
#include <bantam/models/mobile.hpp>

#include "nets.hpp"

#include <string_view>

using namespace deployed;

BOOST_AUTO_TEST_CASE(a_student_keeps_to_parameters_ram_and_flash) {
    using Net = Mobile98k<11>;
    using Small = Student<Net, Budget{.arena_bytes = 32 * 1024, .weight_bytes = 104 * 1024}>;
    static_assert(Small::parameter_limit == 100'000);
    static_assert(Small::budget.arena_bytes == 32 * 1024);
    static_assert(parameter_count<Small> == parameter_count<Net>);
    // Its weights are the network's.
    static_assert(deploy::weight_bytes<Small, deploy::Int8> == deploy::weight_bytes<Net, deploy::Int8>);
    static_assert(deploy::arena_bytes<Net> == deploy::LineClassifier<Net, deploy::Int8>::arena_bytes);
    static_assert(deploy::arena_bytes<Net, DeviceNumbers::float32, DeviceMaps::whole> ==
                  deploy::Classifier<Net, deploy::Float32>::arena_bytes);
    BOOST_TEST(deploy::arena_bytes<Net> < 32 * 1024);
}

BOOST_AUTO_TEST_CASE(numbers_and_maps_of_the_device_count) {
    using Student =
        bantam::Student<NormedNet, Budget{.arena_bytes = deploy::arena_bytes<NormedNet, DeviceNumbers::float32>,
                                          .numbers = DeviceNumbers::float32}>;
    static_assert(Student::budget.maps == DeviceMaps::lines);
    BOOST_TEST(parameter_count<Student> == parameter_count<NormedNet>);
}

namespace {

/// A layer without a form in deploy.
struct Unknown : Layer {
    static constexpr std::string_view name = "Unknown";
};

}  // namespace

BOOST_AUTO_TEST_CASE(what_has_no_limit_needs_no_form_on_a_device) {
    using Student = bantam::Student<Network<Image<12, 12, 3>, Conv2d<8, 3>, Unknown>, Budget{.parameters = 4'000}>;
    BOOST_TEST(Student::parameter_limit == 4'000);
}

BOOST_AUTO_TEST_CASE(a_number_is_a_limit_of_parameters) {
    BOOST_TEST((Student<Mobile98k<11>, 98'155>::parameter_limit == 98'155));
    BOOST_TEST((Student<Mobile98k<11>>::parameter_limit == default_parameter_limit));
}
