// SPDX-License-Identifier: MIT
// `ReLU()` is the type of a function as a template argument.
// expect-text: layer 1 ReLU: write it without \(\): a layer is a type, not a value
// expect-nvcc: compile_error<bantam::Reason::not_a_layer, 1L?
// errors: 1
#include <bantam/core/network.hpp>
#include <bantam/layers/activations.hpp>
#include <bantam/layers/conv2d.hpp>

using namespace bantam;

#ifdef TWIN
using Net = Network<Image<8, 8, 3>, Conv2d<16, 3>, ReLU>;
#else
using Net = Network<Image<8, 8, 3>, Conv2d<16, 3>, ReLU()>;
#endif
static_assert(sizeof(Net) > 0);
