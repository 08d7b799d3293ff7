// SPDX-License-Identifier: MIT
// PyTorch's Linear(64, 10).
// expect-text: layer 1 Linear: the inputs follow from the layer before: Linear\(in, out\) of PyTorch is Linear<out>
// without: nvcc
// errors: 1
#include <bantam/core/network.hpp>
#include <bantam/layers/linear.hpp>
#include <bantam/layers/pooling.hpp>

using namespace bantam;

#ifdef TWIN
using Net = Network<Image<8, 8, 64>, GlobalAveragePool, Linear<10>>;
#else
using Net = Network<Image<8, 8, 64>, GlobalAveragePool, Linear<64, 10>>;
#endif
static_assert(sizeof(Net) > 0);
