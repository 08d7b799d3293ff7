// SPDX-License-Identifier: MIT
// The message names the layer inside the branch, not the sum of the branches.
// expect-nvcc: compile_error<bantam::Reason::kernel_larger_than_image, 0L?, bantam::Shape{4L?, 4L?, 3L?}, bantam::Shape{5L?, 5L?, 3L?}>
// expect-text: in layer 0 Branches, path 1: layer 0 Conv2d does not fit: the kernel is larger than the padded image; its input is 4x4x3, needed is 5x5x3
// errors: 1
#include <bantam/core/network.hpp>
#include <bantam/layers/branches.hpp>
#include <bantam/layers/conv2d.hpp>

using namespace bantam;

#ifdef TWIN
using Net =
    Network<Image<5, 5, 3>,
            Add<Conv2d<3, 3, 1, ConvOptions{.padding = 1}>,
                Sequence<Conv2d<3, 5, 1, ConvOptions{.padding = 0}>, Conv2d<3, 3, 1, ConvOptions{.padding = 3}>>>>;
#else
using Net = Network<
    Image<4, 4, 3>,
    Add<Identity, Sequence<Conv2d<3, 5, 1, ConvOptions{.padding = 0}>, Conv2d<3, 3, 1, ConvOptions{.padding = 2}>>>>;
#endif
static_assert(sizeof(Net) > 0);
