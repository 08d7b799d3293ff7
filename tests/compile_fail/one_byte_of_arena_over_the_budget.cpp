// SPDX-License-Identifier: MIT
// A budget may name the RAM of a device: 40 lines of 40 bytes are whole maps of 1,600 bytes, of which two live
// at one time.
// expect-nvcc: compile_error<3200L?, 3199L?>
// expect-text: the arena of the network takes 3,200 bytes with whole maps, 1 over the limit of 3,199; line by line, with DeviceMaps::lines, it takes 124
// errors: 1
#include <bantam/deploy/budget.hpp>
#include <bantam/layers/conv2d.hpp>

using namespace bantam;

using Net = Network<Image<40, 40, 1>, Conv2d<1, 1>, ReLU, GlobalAveragePool>;

#ifdef TWIN
constexpr Index limit = 3'200;
#else
constexpr Index limit = 3'199;
#endif

static_assert(Student<Net, Budget{.arena_bytes = limit, .maps = DeviceMaps::whole}>::parameter_limit == 100'000);
