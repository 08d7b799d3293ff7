// SPDX-License-Identifier: MIT
// Without pooling the gate is a map, not one pixel.
// expect-nvcc: compile_error<bantam::Reason::gate_must_be_one_pixel_of_all_channels, 0L?, bantam::Shape{8L?, 8L?, 3L?}, bantam::Shape{1L?, 1L?, 3L?}>
// expect-text: layer 0 ChannelGate does not fit: a gate must give one pixel with all channels; path 0 gives 8x8x3, needed is 1x1x3
// errors: 1
#include <bantam/core/network.hpp>
#include <bantam/layers/squeeze_excite.hpp>

using namespace bantam;

#ifdef TWIN
using Net = Network<Image<8, 8, 3>, ChannelGate<GlobalAveragePool, PointwiseConv2d<3>, Sigmoid>>;
#else
using Net = Network<Image<8, 8, 3>, ChannelGate<PointwiseConv2d<3>, Sigmoid>>;
#endif
static_assert(sizeof(Net) > 0);
