// SPDX-License-Identifier: MIT
// Testing pictures can be read in order; their loader has no epochs for a training loop.
// expect: fit trains on ArrayData or on a TrainingLoader; testing pictures are for inference only
// without: nvcc
// errors: 1
#include <bantam/cpu/trainer.hpp>
#include <bantam/data/evaluation_loader.hpp>
#include <bantam/data/training_loader.hpp>
#include <bantam/layers/linear.hpp>
#include <bantam/layers/pooling.hpp>
#include <bantam/train/fit.hpp>

using namespace bantam;

using Net = Network<Image<8, 8, 3>, GlobalAveragePool, Linear<3>>;

#ifdef TWIN
using Loader = TrainingLoader;
#else
using Loader = InferenceLoader;
#endif

void train(Trainer<Net>& trainer, const Loader& pictures, const EvaluationLoader& validation) {
    fit(trainer, pictures, validation, 0, stderr, [](const EpochReport&, Progress&) {});
}
