// SPDX-License-Identifier: MIT
// The channels may differ; heights and widths must be equal.
// expect-nvcc: compile_error<bantam::Reason::branches_differ, 0L?, bantam::Shape{4L?, 4L?, 6L?}, bantam::Shape{8L?, 8L?, 5L?}>
// expect-text: layer 0 Branches does not fit: the branches give shapes that cannot be joined; path 1 gives 4x4x6, path 0 gives 8x8x5
// errors: 1
#include <bantam/core/network.hpp>
#include <bantam/layers/branches.hpp>
#include <bantam/layers/conv2d.hpp>

using namespace bantam;

#ifdef TWIN
using Net = Network<Image<8, 8, 3>, Concatenate<Conv2d<5, 3>, Conv2d<6, 3, 1>>>;
#else
using Net = Network<Image<8, 8, 3>, Concatenate<Conv2d<5, 3>, Conv2d<6, 3, 2>>>;
#endif
static_assert(sizeof(Net) > 0);
