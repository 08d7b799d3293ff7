// SPDX-License-Identifier: MIT
// The body gives six channels; the input has eight.
// expect-nvcc: compile_error<bantam::Reason::residual_paths_differ, 0L?, bantam::Shape{8L?, 8L?, 6L?}, bantam::Shape{8L?, 8L?, 8L?}>
// expect-text: layer 0 Residual does not fit: body and shortcut of the residual give different shapes; path 0 gives 8x8x6, path 1 gives 8x8x8
// errors: 1
// with: cxx26
#include <bantam/core/network.hpp>
#include <bantam/layers/conv2d.hpp>
#include <bantam/layers/residual.hpp>

using namespace bantam;

#ifdef TWIN
using Net = Network<Image<8, 8, 8>, Residual<Conv2d<8, 3>>>;
#else
using Net = Network<Image<8, 8, 8>, Residual<Conv2d<6, 3>>>;
#endif
static_assert(sizeof(Net) > 0);
