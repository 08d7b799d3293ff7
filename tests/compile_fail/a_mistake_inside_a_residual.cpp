// SPDX-License-Identifier: MIT
// The message names the layer inside nested blocks, not the outer block.
// expect-nvcc: compile_error<bantam::Reason::groups_do_not_divide_channels, 1L?, bantam::Shape{8L?, 8L?, 7L?}, bantam::Shape{8L?, 8L?, 8L?}>
// expect-text: in layer 0 Residual: layer 1 Conv2d does not fit: the groups do not divide the channels; layer 0 Conv2d gives 8x8x7, needed is 8x8x8
// errors: 1
#include <bantam/core/network.hpp>
#include <bantam/layers/conv2d.hpp>
#include <bantam/layers/residual.hpp>

using namespace bantam;

#ifdef TWIN
using Net = Network<Image<8, 8, 8>, Residual<Conv2d<6, 3>, Conv2d<8, 3, 1, ConvOptions{.groups = 2}>>>;
#else
using Net = Network<Image<8, 8, 8>, Residual<Conv2d<7, 3>, Conv2d<8, 3, 1, ConvOptions{.groups = 2}>>>;
#endif
static_assert(sizeof(Net) > 0);
