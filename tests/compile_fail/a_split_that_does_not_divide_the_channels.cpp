// SPDX-License-Identifier: MIT
// Ten channels cannot be split among four branches.
// expect-nvcc: compile_error<bantam::Reason::split_does_not_divide_channels, 0L?, bantam::Shape{8L?, 8L?, 10L?}, bantam::Shape{8L?, 8L?, 12L?}>
// expect-text: layer 0 Branches does not fit: the split does not divide the channels; its input is 8x8x10, needed is 8x8x12
// errors: 1
#include <bantam/core/network.hpp>
#include <bantam/layers/branches.hpp>

using namespace bantam;

#ifdef TWIN
using Net = Network<Image<8, 8, 12>, SplitConcatenate<Identity, Identity, Identity, Identity>>;
#else
using Net = Network<Image<8, 8, 10>, SplitConcatenate<Identity, Identity, Identity, Identity>>;
#endif
static_assert(sizeof(Net) > 0);
