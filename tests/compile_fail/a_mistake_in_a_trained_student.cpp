// SPDX-License-Identifier: MIT
// The numbers, the student and the trainer of a refused network add no errors and few lines.
// expect-text: layer 0 Conv2d: its stride is at least 1
// without: nvcc
// errors: 1
// lines: 22
// with: cxx26
#include <bantam/core/budget.hpp>
#include <bantam/cpu/trainer.hpp>
#include <bantam/layers/all.hpp>

using namespace bantam;

#ifdef TWIN
using Net = Network<Image<8, 8, 3>, Conv2d<8, 3, 1>, GlobalAveragePool, Linear<3>>;
#else
using Net = Network<Image<8, 8, 3>, Conv2d<8, 3, 0>, GlobalAveragePool, Linear<3>>;
#endif

Trainer<Student<Net>> make_trainer() { return Trainer<Student<Net>>{TrainingOptions{}}; }
static_assert(parameter_count<Net> < 1000 && multiply_adds<Net> < 100'000);
