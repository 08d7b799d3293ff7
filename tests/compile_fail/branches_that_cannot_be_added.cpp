// SPDX-License-Identifier: MIT
// One branch halves the height and width.
// expect-nvcc: compile_error<bantam::Reason::branches_differ, 0L?, bantam::Shape{4L?, 4L?, 3L?}, bantam::Shape{8L?, 8L?, 3L?}>
// expect-text: layer 0 Branches does not fit: the branches give shapes that cannot be joined; path 1 gives 4x4x3, path 0 gives 8x8x3
// errors: 1
#include <bantam/core/network.hpp>
#include <bantam/layers/branches.hpp>
#include <bantam/layers/depthwise_conv2d.hpp>

using namespace bantam;

#ifdef TWIN
using Net = Network<Image<8, 8, 3>, Add<DepthwiseConv2d<3>, DepthwiseConv2d<3, 1>>>;
#else
using Net = Network<Image<8, 8, 3>, Add<DepthwiseConv2d<3>, DepthwiseConv2d<3, 2>>>;
#endif
static_assert(sizeof(Net) > 0);
