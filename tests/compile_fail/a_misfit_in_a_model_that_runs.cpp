// SPDX-License-Identifier: MIT
// A model of a network whose layers do not fit: the backend adds no errors to the one about the layers.
// expect-nvcc: compile_error<bantam::Reason::map_was_not_pooled, 3L?, bantam::Shape{4L?, 4L?, 16L?}, bantam::Shape{1L?, 1L?, 16L?}>
// expect-text: layer 3 Linear does not fit: a classifier on a map that was not pooled or flattened; layer 2 ReLU gives 4x4x16, needed is 1x1x16
// errors: 1
#include <bantam/bantam.hpp>

using namespace bantam;

#ifdef TWIN
using Net = Network<Image<8, 8, 3>, Conv2d<16, 3, 2>, BatchNorm2d, ReLU, GlobalAveragePool, Linear<11>>;
#else
using Net = Network<Image<8, 8, 3>, Conv2d<16, 3, 2>, BatchNorm2d, ReLU, Linear<11>>;
#endif

void run(const float* input, float* output) {
    cpu::Model<Net> model;
    model.initialize(1);
    model.forward(input, 1, 0, output);
    model.backward(output, output);
    model.infer(input, 1, output);
}
