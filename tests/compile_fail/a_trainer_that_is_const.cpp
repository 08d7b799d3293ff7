// SPDX-License-Identifier: MIT
// expect: fit trains its trainer, which is const here: leave out const
// without: nvcc
// errors: 1
#include <bantam/cpu/trainer.hpp>
#include <bantam/data/array_data.hpp>
#include <bantam/layers/flatten.hpp>
#include <bantam/layers/linear.hpp>
#include <bantam/train/fit.hpp>

using namespace bantam;

using Net = Network<Image<8, 8, 3>, Flatten, Linear<3>>;

#ifdef TWIN
void train(Trainer<Net>& trainer, const ArrayData& data) { fit(trainer, data, data); }
#else
void train(const Trainer<Net>& trainer, const ArrayData& data) { fit(trainer, data, data); }
#endif
