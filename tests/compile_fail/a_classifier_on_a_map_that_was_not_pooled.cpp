// SPDX-License-Identifier: MIT
// A common mistake: no pooling in front of the classifier.
// expect-nvcc: compile_error<bantam::Reason::map_was_not_pooled, 1L?, bantam::Shape{4L?, 4L?, 16L?}, bantam::Shape{1L?, 1L?, 16L?}>
// expect-text: layer 1 Linear does not fit: a classifier on a map that was not pooled or flattened; layer 0 Conv2d gives 4x4x16, needed is 1x1x16; put GlobalAveragePool or Flatten before it
// errors: 1
#include <bantam/core/network.hpp>
#include <bantam/layers/conv2d.hpp>
#include <bantam/layers/linear.hpp>
#include <bantam/layers/pooling.hpp>

using namespace bantam;

#ifdef TWIN
using Net = Network<Image<8, 8, 3>, Conv2d<16, 3, 2>, GlobalAveragePool, Linear<11>>;
#else
using Net = Network<Image<8, 8, 3>, Conv2d<16, 3, 2>, Linear<11>>;
#endif
static_assert(sizeof(Net) > 0);
