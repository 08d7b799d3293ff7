// SPDX-License-Identifier: MIT
// A layer without a form in a precision is named.
// expect-text: layer Mirror has no form in bantam::deploy::Int8: docs/deploying.md lists the layers that have one
// expect-nvcc: compile_error<.*bantam::deploy::Int8>
// errors: 1
// with: cxx26
#include <bantam/deploy/classifier.hpp>

#include <string_view>

using namespace bantam;

struct Mirror : Layer {
    static constexpr std::string_view name = "Mirror";
};

#ifdef TWIN
using Net = Network<Image<8, 8, 3>, Conv2d<4, 3>, LayerNorm, GlobalAveragePool>;
#else
using Net = Network<Image<8, 8, 3>, Conv2d<4, 3>, Mirror, GlobalAveragePool>;
#endif

static_assert(deploy::Classifier<Net, deploy::Int8>::weight_bytes > 0);
