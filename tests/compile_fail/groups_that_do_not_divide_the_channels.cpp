// SPDX-License-Identifier: MIT
// Sixteen groups do not divide 47 channels.
// expect-nvcc: compile_error<bantam::Reason::groups_do_not_divide_channels, 1L?, bantam::Shape{8L?, 8L?, 47L?}, bantam::Shape{8L?, 8L?, 48L?}>
// expect-text: layer 1 Conv2d does not fit: the groups do not divide the channels; layer 0 Conv2d gives 8x8x47, needed is 8x8x48
// errors: 1
#include <bantam/core/network.hpp>
#include <bantam/layers/conv2d.hpp>

using namespace bantam;

#ifdef TWIN
using Net = Network<Image<8, 8, 3>, Conv2d<48, 3>, Conv2d<80, 4, 2, ConvOptions{.padding = 1, .groups = 16}>>;
#else
using Net = Network<Image<8, 8, 3>, Conv2d<47, 3>, Conv2d<80, 4, 2, ConvOptions{.padding = 1, .groups = 16}>>;
#endif
static_assert(sizeof(Net) > 0);
