// SPDX-License-Identifier: MIT
// A trainer on a GPU has a header of its own.
// expect-text: a Trainer on a GPU is in bantam/cuda/training/trainer.hpp: include it and compile with nvcc
// expect-nvcc: compile_error<.*bantam::Cuda
// errors: 1
#include <bantam/layers/linear.hpp>
#include <bantam/train/device.hpp>

using namespace bantam;

using Net = Network<Image<1, 1, 3>, Linear<2>>;

#ifdef TWIN
template <>
class bantam::Trainer<Net, Cuda> {
public:
    explicit Trainer(const TrainingOptions&) {}
};
#endif

Trainer<Net, Cuda> trainer{TrainingOptions{}};
