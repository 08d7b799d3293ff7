// SPDX-License-Identifier: MIT
// The arguments in the order of PyTorch are a kernel of 16, which no padding of equal sides keeps the size with.
// expect-text: layer 0 Conv2d: an even kernel cannot keep the size of the map: use an odd kernel size or write ConvOptions{.padding = ...}; input channels are deduced, so that Conv2d\(in, out, kernel\) of PyTorch is Conv2d<out, kernel>
// expect-nvcc: compile_error<bantam::Reason::invalid_arguments, 0L?
// errors: 1
#include <bantam/core/summary.hpp>
#include <bantam/layers/conv2d.hpp>

using namespace bantam;

#ifdef TWIN
using Net = Network<Image<32, 32, 3>, Conv2d<3, 16, 3, ConvOptions{.padding = 7}>>;
#else
using Net = Network<Image<32, 32, 3>, Conv2d<3, 16, 3>>;
#endif
const char* text = summary<Net>();
