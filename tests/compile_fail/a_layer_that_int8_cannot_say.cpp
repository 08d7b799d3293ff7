// SPDX-License-Identifier: MIT
// A layer without a form in a precision is named.
// expect-text: layer LayerNorm has no form in bantam::deploy::Int8: docs/deploying.md lists the layers that have one
// expect-nvcc: compile_error<.*bantam::deploy::Int8>
// errors: 1
#include <bantam/deploy/classifier.hpp>

using namespace bantam;

using Net = Network<Image<8, 8, 3>, Conv2d<4, 3>, LayerNorm, GlobalAveragePool>;

#ifdef TWIN
static_assert(deploy::Classifier<Net, deploy::Float32>::weight_bytes > 0);
#else
static_assert(deploy::Classifier<Net, deploy::Int8>::weight_bytes > 0);
#endif
