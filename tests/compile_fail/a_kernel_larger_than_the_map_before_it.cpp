// SPDX-License-Identifier: MIT
// The pool in front reduces the map from 8x8 to 4x4.
// expect-nvcc: compile_error<bantam::Reason::kernel_larger_than_image, 2L?, bantam::Shape{4L?, 4L?, 6L?}, bantam::Shape{5L?, 5L?, 6L?}>
// expect-text: layer 2 Conv2d does not fit: the kernel is larger than the padded image; layer 1 MaxPool2d gives 4x4x6, needed is 5x5x6
// errors: 1
#include <bantam/core/network.hpp>
#include <bantam/layers/conv2d.hpp>
#include <bantam/layers/pooling.hpp>

using namespace bantam;

#ifdef TWIN
using Net = Network<Image<10, 10, 3>, Conv2d<6, 3>, MaxPool2d<2>, Conv2d<8, 5, 1, ConvOptions{.padding = 0}>>;
#else
using Net = Network<Image<8, 8, 3>, Conv2d<6, 3>, MaxPool2d<2>, Conv2d<8, 5, 1, ConvOptions{.padding = 0}>>;
#endif
static_assert(sizeof(Net) > 0);
