// SPDX-License-Identifier: MIT
// A 5x5 kernel without padding needs five pixels in each direction; the image is four high.
// expect-nvcc: compile_error<bantam::Reason::kernel_larger_than_image, 0L?, bantam::Shape{4L?, 8L?, 3L?}, bantam::Shape{5L?, 8L?, 3L?}>
// expect-text: layer 0 Conv2d does not fit: the kernel is larger than the padded image; its input is 4x8x3, needed is 5x8x3
// errors: 1
#include <bantam/core/network.hpp>
#include <bantam/layers/conv2d.hpp>

using namespace bantam;

#ifdef TWIN
using Net = Network<Image<5, 8, 3>, Conv2d<8, 5, 1, ConvOptions{.padding = 0}>>;
#else
using Net = Network<Image<4, 8, 3>, Conv2d<8, 5, 1, ConvOptions{.padding = 0}>>;
#endif
static_assert(sizeof(Net) > 0);
