// SPDX-License-Identifier: MIT
// All members of an ensemble have the same classes.
// expect-nvcc: compile_error<bantam::Reason::ensemble_members_differ, 0L?, bantam::Shape{1L?, 1L?, 5L?}, bantam::Shape{1L?, 1L?, 4L?}>
// expect-text: layer 0 Ensemble does not fit: the members of the ensemble give different shapes; path 1 gives 1x1x5, path 0 gives 1x1x4
// errors: 1
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
