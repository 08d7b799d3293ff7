// SPDX-License-Identifier: MIT
// Testing pictures have no labels; their answers come from infer and predict.
// expect: testing pictures are for inference only
// without: nvcc
// errors: 1
#include <bantam/cpu/trainer.hpp>
#include <bantam/data/evaluation_loader.hpp>
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

Evaluation figures(Trainer<Net>& trainer, const Loader& pictures) { return evaluate(trainer, pictures); }

std::vector<int> answers(Trainer<Net>& trainer, const InferenceLoader& testing) { return predict(trainer, testing); }
