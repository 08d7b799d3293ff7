// SPDX-License-Identifier: MIT
// A budget may name the flash of a device: 12 outputs of 4 inputs and 8 bytes per output, and 8 per color.
// expect-nvcc: compile_error<176L?, 175L?>
// expect-text: the weights of the network take 176 bytes of flash, 1 over the limit of 175; the heaviest layers: Linear-1 .60.
// errors: 1
#include <bantam/deploy/budget.hpp>
#include <bantam/layers/linear.hpp>

using namespace bantam;

using Net = Network<Image<1, 1, 4>, Linear<12>>;

#ifdef TWIN
constexpr Index limit = 176;
#else
constexpr Index limit = 175;
#endif

static_assert(Student<Net, Budget{.parameters = 60, .weight_bytes = limit}>::parameter_limit == 60);
