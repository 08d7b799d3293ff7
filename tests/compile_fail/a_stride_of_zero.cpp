// SPDX-License-Identifier: MIT
// The network is summarized: no error follows the one about the stride.
// expect-text: in layer 1 Residual: layer 0 DepthwiseConv2d: its stride is at least 1
// expect-nvcc: compile_error<bantam::Reason::invalid_arguments, 0L?
// errors: 1
#include <bantam/core/summary.hpp>
#include <bantam/layers/depthwise_conv2d.hpp>
#include <bantam/layers/residual.hpp>

using namespace bantam;

#ifdef TWIN
using Net = Network<Image<8, 8, 3>, Conv2d<16, 3>, Residual<DepthwiseConv2d<3>>>;
#else
using Net = Network<Image<8, 8, 3>, Conv2d<16, 3>, Residual<DepthwiseConv2d<3, 0>>>;
#endif
const char* text = summary<Net>();
static_assert(parameter_count<Net> >= 0);
