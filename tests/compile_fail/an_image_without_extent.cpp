// SPDX-License-Identifier: MIT
// An image of height zero.
// expect-text: the extents of an image are at least 1: Image<height, width, channels>
// expect-nvcc: compile_error<bantam::Reason::no_image
// errors: 1
#include <bantam/core/network.hpp>

using namespace bantam;

#ifdef TWIN
using Net = Network<Image<1, 8, 3>, Identity>;
#else
using Net = Network<Image<0, 8, 3>, Identity>;
#endif
static_assert(sizeof(Net) > 0);
