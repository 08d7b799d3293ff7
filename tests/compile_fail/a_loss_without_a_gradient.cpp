// SPDX-License-Identifier: MIT
// A loss of one's own needs a gradient.
// expect: a loss has value.outputs, output, target. and gradient.outputs, output, target, gradient.
// without: nvcc
// errors: 1
#include <bantam/cpu/trainer.hpp>
#include <bantam/layers/linear.hpp>
#include <bantam/layers/pooling.hpp>

using namespace bantam;

using Net = Network<Image<8, 8, 3>, GlobalAveragePool, Linear<1>>;

struct Difference {
    double value(Index, const float* output, const float* target) const { return double{*output - *target}; }
#ifdef TWIN
    void gradient(Index, const float*, const float*, float* gradient) const { *gradient = 1; }
#endif
};

void use(const TrainingOptions& options) { Trainer<Net, Cpu, Difference>{options}; }
