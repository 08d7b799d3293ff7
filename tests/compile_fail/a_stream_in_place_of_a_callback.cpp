// SPDX-License-Identifier: MIT
// The stream is the fifth argument.
// expect: the fourth argument of fit is called after each epoch, with an EpochReport; the stream is the fifth
// without: nvcc
// errors: 1
#include <bantam/cpu/trainer.hpp>
#include <bantam/data/array_data.hpp>
#include <bantam/layers/flatten.hpp>
#include <bantam/layers/linear.hpp>
#include <bantam/train/fit.hpp>

#include <cstdio>

using namespace bantam;

using Net = Network<Image<8, 8, 3>, Flatten, Linear<3>>;

#ifdef TWIN
struct Stop {
    bool operator()(const EpochReport&) const { return false; }
};
void train(Trainer<Net>& trainer, const ArrayData& data) { fit(trainer, data, data, Stop{}, stdout); }
#else
void train(Trainer<Net>& trainer, const ArrayData& data) { fit(trainer, data, data, stdout); }
#endif
