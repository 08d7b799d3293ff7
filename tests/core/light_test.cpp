// SPDX-License-Identifier: MIT
// Descriptions of networks hold no arithmetic: core, layers and models include neither Eigen nor CUDA nor
// streams, so that a program that only counts parameters compiles quickly.
#include <bantam/base/error.hpp>
#include <bantam/core/budget.hpp>
#include <bantam/core/diagnostics.hpp>
#include <bantam/core/layer.hpp>
#include <bantam/core/network.hpp>
#include <bantam/core/sequence.hpp>
#include <bantam/core/shape.hpp>
#include <bantam/core/shape_text.hpp>
#include <bantam/core/summary.hpp>
#include <bantam/core/tensor.hpp>
#include <bantam/core/text.hpp>
#include <bantam/core/visit.hpp>
#include <bantam/layers/activations.hpp>
#include <bantam/layers/batch_norm2d.hpp>
#include <bantam/layers/branches.hpp>
#include <bantam/layers/conv2d.hpp>
#include <bantam/layers/depthwise_conv2d.hpp>
#include <bantam/layers/depthwise_separable.hpp>
#include <bantam/layers/dropout.hpp>
#include <bantam/layers/flatten.hpp>
#include <bantam/layers/gate.hpp>
#include <bantam/layers/inverted_residual.hpp>
#include <bantam/layers/layer_norm.hpp>
#include <bantam/layers/linear.hpp>
#include <bantam/layers/pooling.hpp>
#include <bantam/layers/residual.hpp>
#include <bantam/layers/squeeze_excite.hpp>
#include <bantam/models/ensemble.hpp>
#include <bantam/models/mobile.hpp>
#include <bantam/models/resnet18.hpp>
#include <bantam/models/sample.hpp>
#include <bantam/models/tiniest.hpp>

#if defined(EIGEN_CORE_H) || defined(EIGEN_CORE_MODULE_H)
#error "the core includes Eigen"
#endif
#if defined(__CUDA_RUNTIME_H__) || defined(THRUST_VERSION)
#error "the core includes CUDA"
#endif
#if defined(_GLIBCXX_IOSTREAM) || defined(_GLIBCXX_OSTREAM) || defined(_GLIBCXX_SSTREAM) || defined(_GLIBCXX_FSTREAM)
#error "the core includes streams"
#endif
#if defined(FMT_VERSION)
#error "the core includes fmt"
#endif

#define BOOST_TEST_MODULE core_light
#include <boost/test/unit_test.hpp>

BOOST_AUTO_TEST_CASE(core_layers_and_models_include_no_heavy_headers) {
    // The checks are the #error lines above.
    BOOST_TEST(bantam::parameter_count<bantam::Mobile98k<11>> == 98'155);
}
