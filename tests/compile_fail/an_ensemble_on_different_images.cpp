// SPDX-License-Identifier: MIT
// All members of an ensemble take the same image.
// expect: an ensemble's members take pictures of one size and number of channels
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
                     Network<Image<8, 9, 3>, GlobalAveragePool, Linear<4>>>;
#endif
static_assert(sizeof(Net) > 0);
