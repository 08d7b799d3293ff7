// SPDX-License-Identifier: MIT
// Without pooling the gate is a map, not one pixel.
// expect: layer_does_not_fit<bantam::Reason::gate_must_be_one_pixel_of_all_channels, bantam::LayerNumber<0>.*PathThatGives<bantam::Sequence<bantam::Conv2d<3, 1.*ShapeOf<8L?, 8L?, 3L?>.*FailingLayer<bantam::ChannelGate<.*ShapeOf<1L?, 1L?, 3L?>
// expect-cxx26: layer 0 ChannelGate does not fit: a gate must give one pixel with all channels; path 0 gives 8x8x3, needed is 1x1x3
// errors: 2
#include <bantam/core/network.hpp>
#include <bantam/layers/squeeze_excite.hpp>

using namespace bantam;

#ifdef TWIN
using Net = Network<Image<8, 8, 3>, ChannelGate<GlobalAveragePool, PointwiseConv2d<3>, Sigmoid>>;
#else
using Net = Network<Image<8, 8, 3>, ChannelGate<PointwiseConv2d<3>, Sigmoid>>;
#endif
static_assert(sizeof(Net) > 0);
