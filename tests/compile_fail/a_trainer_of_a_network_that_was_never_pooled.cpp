// SPDX-License-Identifier: MIT
// A classifier's network ends with one value per class, not with a map.
// expect: a classifier has one output per class: end the network with GlobalAveragePool
// without: nvcc
// errors: 1
#include <bantam/cpu/trainer.hpp>
#include <bantam/layers/conv2d.hpp>
#include <bantam/layers/linear.hpp>
#include <bantam/layers/pooling.hpp>

using namespace bantam;

#ifdef TWIN
using Net = Network<Image<8, 8, 3>, Conv2d<16, 3>, GlobalAveragePool, Linear<11>>;
#else
using Net = Network<Image<8, 8, 3>, Conv2d<16, 3>>;
#endif

Trainer<Net> make_trainer() { return Trainer<Net>{TrainingOptions{}}; }
