// SPDX-License-Identifier: MIT
// Dropout takes percent.
// expect-text: layer 0 Dropout: it takes whole percent: Dropout\(0.5\) of PyTorch is Dropout<50>
// expect-nvcc: compile_error<bantam::Reason::invalid_arguments, 0L?
// errors: 1
#include <bantam/core/network.hpp>
#include <bantam/layers/dropout.hpp>

using namespace bantam;

#ifdef TWIN
using Net = Network<Image<8, 8, 3>, Dropout<50>>;
#else
using Net = Network<Image<8, 8, 3>, Dropout<0.5>>;
#endif
static_assert(sizeof(Net) > 0);
