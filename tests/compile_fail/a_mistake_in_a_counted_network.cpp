// SPDX-License-Identifier: MIT
// The parameters of a refused network.
// expect-text: layer 0 Conv2d: an even kernel cannot keep the size of the map
// without: nvcc
// errors: 1
// lines: 16
#include <bantam/core/network.hpp>
#include <bantam/layers/all.hpp>

using namespace bantam;

#ifdef TWIN
using Net = Network<Image<16, 16, 3>, Conv2d<16, 3>, GlobalAveragePool, Linear<3>>;
#else
using Net = Network<Image<16, 16, 3>, Conv2d<3, 16, 3>, GlobalAveragePool, Linear<3>>;  // PyTorch's order
#endif
static_assert(parameter_count<Net> < 1000);
