// SPDX-License-Identifier: MIT
// All members of an ensemble have the same classes.
// expect: layer_does_not_fit<bantam::Reason::ensemble_members_differ, bantam::LayerNumber<0>.*PathThatGives<bantam::Sequence<bantam::GlobalAveragePool, bantam::Linear<5.*ShapeOf<1L?, 1L?, 5L?>.*PathThatGives<bantam::Sequence<bantam::GlobalAveragePool, bantam::Linear<4.*ShapeOf<1L?, 1L?, 4L?>
// expect-cxx26: layer 0 Ensemble does not fit: the ensemble's members give different shapes; path 1 gives 1x1x5, path 0 gives 1x1x4
// errors: 2
#include <bantam/layers/linear.hpp>
#include <bantam/layers/pooling.hpp>
#include <bantam/models/ensemble.hpp>

using namespace bantam;

#ifdef TWIN
using Net = Ensemble<Network<Image<8, 8, 3>, GlobalAveragePool, Linear<4>>,
                     Network<Image<8, 8, 3>, GlobalAveragePool, Linear<4>>>;
#else
using Net = Ensemble<Network<Image<8, 8, 3>, GlobalAveragePool, Linear<4>>,
                     Network<Image<8, 8, 3>, GlobalAveragePool, Linear<5>>>;
#endif
static_assert(sizeof(Net) > 0);
