// SPDX-License-Identifier: MIT
// Ten channels cannot be split among four branches.
// expect: layer_does_not_fit<bantam::Reason::split_does_not_divide_channels, bantam::LayerNumber<0>.*PreviousLayer<bantam::detail::NetworkInput.*ShapeOf<8L?, 8L?, 10L?>.*FailingLayer<bantam::Branches<bantam::Fork::split.*ShapeOf<8L?, 8L?, 12L?>
// expect-cxx26: layer 0 Branches does not fit: the split does not divide the channels; its input is 8x8x10, needed is 8x8x12
// errors: 2
#include <bantam/core/network.hpp>
#include <bantam/layers/branches.hpp>

using namespace bantam;

#ifdef TWIN
using Net = Network<Image<8, 8, 12>, SplitConcatenate<Identity, Identity, Identity, Identity>>;
#else
using Net = Network<Image<8, 8, 10>, SplitConcatenate<Identity, Identity, Identity, Identity>>;
#endif
static_assert(sizeof(Net) > 0);
