// SPDX-License-Identifier: MIT
// A network begins with its image.
// expect-text: a network begins with the size of its images: Network<Image<height, width, channels>, layers...>
// expect-nvcc: compile_error<bantam::Reason::no_image
// errors: 1
#include <bantam/core/network.hpp>
#include <bantam/layers/conv2d.hpp>

using namespace bantam;

#ifdef TWIN
using Net = Network<Image<8, 8, 3>, Conv2d<16, 3>>;
#else
using Net = Network<Conv2d<16, 3>>;
#endif
static_assert(sizeof(Net) > 0);
