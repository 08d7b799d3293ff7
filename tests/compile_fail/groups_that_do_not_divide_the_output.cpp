// SPDX-License-Identifier: MIT
// Sixteen groups do not divide 81 output channels.
// expect-nvcc: compile_error<bantam::Reason::groups_do_not_divide_output, 0L?, bantam::Shape{8L?, 8L?, 81L?}, bantam::Shape{8L?, 8L?, 96L?}>
// expect-text: layer 0 Conv2d does not fit: the groups do not divide the output channels; it gives 8x8x81, needed is 8x8x96
// errors: 1
#include <bantam/core/network.hpp>
#include <bantam/layers/conv2d.hpp>

using namespace bantam;

#ifdef TWIN
using Net = Network<Image<8, 8, 48>, Conv2d<80, 3, 1, ConvOptions{.groups = 16}>>;
#else
using Net = Network<Image<8, 8, 48>, Conv2d<81, 3, 1, ConvOptions{.groups = 16}>>;
#endif
static_assert(sizeof(Net) > 0);
