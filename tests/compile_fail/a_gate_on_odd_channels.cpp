// SPDX-License-Identifier: MIT
// A gate halves the channels, so their number must be even.
// expect-nvcc: compile_error<bantam::Reason::channels_must_be_even, 1L?, bantam::Shape{8L?, 8L?, 7L?}, bantam::Shape{8L?, 8L?, 8L?}>
// expect-text: layer 1 Gate does not fit: the channels must be even; layer 0 Conv2d gives 8x8x7, needed is 8x8x8
// errors: 1
#include <bantam/core/network.hpp>
#include <bantam/layers/conv2d.hpp>
#include <bantam/layers/gate.hpp>

using namespace bantam;

#ifdef TWIN
using Net = Network<Image<8, 8, 3>, Conv2d<8, 3>, TanhExpGate>;
#else
using Net = Network<Image<8, 8, 3>, Conv2d<7, 3>, TanhExpGate>;
#endif
static_assert(sizeof(Net) > 0);
