// SPDX-License-Identifier: MIT
// A network has at least one layer.
// expect-text: a network has at least one layer: Network<Image<height, width, channels>, layers...>
// expect-nvcc: compile_error<bantam::Reason::no_layers
// errors: 1
#include <bantam/core/network.hpp>

using namespace bantam;

#ifdef TWIN
using Net = Network<Image<8, 8, 3>, Identity>;
#else
using Net = Network<Image<8, 8, 3>>;
#endif
static_assert(sizeof(Net) > 0);
