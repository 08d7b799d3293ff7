// SPDX-License-Identifier: MIT
// The body gives six channels; the input has eight.
// expect: layer_does_not_fit<bantam::Reason::residual_paths_differ, bantam::LayerNumber<0>.*PathThatGives<bantam::Sequence<bantam::Conv2d<6, 3.*ShapeOf<8L?, 8L?, 6L?>.*PathThatGives<bantam::Identity.*ShapeOf<8L?, 8L?, 8L?>
// expect-cxx26: layer 0 Residual does not fit: the residual's body and shortcut give different shapes; path 0 gives 8x8x6, path 1 gives 8x8x8
// errors: 2
#include <bantam/core/network.hpp>
#include <bantam/layers/conv2d.hpp>
#include <bantam/layers/residual.hpp>

using namespace bantam;

#ifdef TWIN
using Net = Network<Image<8, 8, 8>, Residual<Conv2d<8, 3>>>;
#else
using Net = Network<Image<8, 8, 8>, Residual<Conv2d<6, 3>>>;
#endif
static_assert(sizeof(Net) > 0);
