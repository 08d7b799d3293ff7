// SPDX-License-Identifier: MIT
// A layer is not a network.
// expect-text: bantam::ReLU is not a network: write Network<Image<height, width, channels>, layers...>
// expect-nvcc: compile_error<bantam::Reason::no_image
// errors: 1
#include <bantam/core/budget.hpp>
#include <bantam/core/summary.hpp>
#include <bantam/layers/activations.hpp>

using namespace bantam;

#ifdef TWIN
using Net = Network<Image<8, 8, 3>, ReLU>;
#else
using Net = ReLU;
#endif
const char* text = summary<Net>();
static_assert(parameter_count<Student<Net>> == 0);
