// SPDX-License-Identifier: MIT
// A layer without a form in a precision is named.
// expect: layer_cannot_be_deployed<bantam::LayerNorm, bantam::deploy::Int8>
#include <bantam/deploy/classifier.hpp>

using namespace bantam;

using Net = Network<Image<8, 8, 3>, Conv2d<4, 3>, LayerNorm, GlobalAveragePool>;

#ifdef TWIN
static_assert(deploy::Classifier<Net, deploy::Float32>::weight_bytes > 0);
#else
static_assert(deploy::Classifier<Net, deploy::Int8>::weight_bytes > 0);
#endif
