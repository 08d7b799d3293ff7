// SPDX-License-Identifier: MIT
// One branch halves the height and width.
// expect: layer_does_not_fit<bantam::Reason::branches_differ, bantam::LayerNumber<0>.*PathThatGives<bantam::DepthwiseConv2d<3, 2.*ShapeOf<4L?, 4L?, 3L?>.*PathThatGives<bantam::DepthwiseConv2d<3.*ShapeOf<8L?, 8L?, 3L?>
// expect-cxx26: layer 0 Branches does not fit: the branches give shapes that cannot be joined; path 1 gives 4x4x3, path 0 gives 8x8x3
// errors: 2
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
