// SPDX-License-Identifier: MIT
// The loader of testing pictures has batches, but no labels to validate with.
// expect: testing pictures are for inference only
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
using Loader = EvaluationLoader;
#else
using Loader = InferenceLoader;
#endif

void train(Trainer<Net>& trainer, const TrainingLoader& training, const Loader& validation) {
    fit(trainer, training, validation);
}
