// SPDX-License-Identifier: MIT
// What runs on a device includes neither Eigen nor streams, threads, exceptions' classes or the C library's
// mathematics.
#include <bantam/deploy/budget.hpp>
#include <bantam/deploy/classifier.hpp>
#include <bantam/deploy/line_classifier.hpp>
#include <bantam/deploy/self_test.hpp>

#if defined(EIGEN_CORE_H) || defined(EIGEN_CORE_MODULE_H)
#error "deployed networks include Eigen"
#endif
#if defined(_GLIBCXX_IOSTREAM) || defined(_GLIBCXX_OSTREAM) || defined(_GLIBCXX_SSTREAM) || defined(_GLIBCXX_FSTREAM)
#error "deployed networks include streams"
#endif
#if defined(_GLIBCXX_THREAD) || defined(_GLIBCXX_MUTEX) || defined(_GLIBCXX_ATOMIC)
#error "deployed networks include threads"
#endif
#if defined(_GLIBCXX_STDEXCEPT) || defined(_GLIBCXX_CMATH)
#error "deployed networks include exceptions or mathematics"
#endif

#define BOOST_TEST_MODULE deploy_light
#include <boost/test/unit_test.hpp>

#include <type_traits>

#include "nets.hpp"

using namespace deployed;

BOOST_AUTO_TEST_CASE(headers_for_devices_include_nothing_heavy) {
    // The checks are the #error lines above.
    static_assert(std::is_trivially_destructible_v<deploy::Classifier<GoldenNet, deploy::Float32>>);
    BOOST_TEST((std::is_trivially_destructible_v<deploy::LineClassifier<GoldenNet, deploy::Int8>>));
}
