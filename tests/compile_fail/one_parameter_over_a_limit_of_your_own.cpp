// SPDX-License-Identifier: MIT
// The second argument of Student is the limit.
// expect-nvcc: compile_error<60L?, 59L?>
// expect-text: the network has 60 parameters, 1 over the limit of 59; the heaviest layers:
// errors: 1
#include <bantam/core/budget.hpp>
#include <bantam/layers/conv2d.hpp>

using namespace bantam;

using Net = Network<Image<8, 8, 3>, Conv2d<15, 1>>;

#ifdef TWIN
static_assert(Student<Net, 60>::parameter_limit == 60);
#else
static_assert(Student<Net, 59>::parameter_limit == 59);
#endif
