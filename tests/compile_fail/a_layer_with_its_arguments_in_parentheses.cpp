// SPDX-License-Identifier: MIT
// As PyTorch writes it.
// expect: a layer is a type: write its arguments in angle brackets, without the input channels, which are deduced
// without: nvcc
#include <bantam/core/network.hpp>
#include <bantam/layers/all.hpp>

using namespace bantam;

#ifdef TWIN
using Net = Network<Image<8, 8, 3>, Conv2d<16, 3>>;
#else
using Net = Network<Image<8, 8, 3>, Conv2d(3, 16, 3)>;
#endif
