// SPDX-License-Identifier: MIT
// The job on a GPU, in programs built with CUDA.

#include <bantam/cuda/data/picture_data.hpp>
#include <bantam/cuda/training/trainer.hpp>

#include "distill_food11.hpp"

namespace distill_food11 {
namespace {

void distill_on_gpu(Options& options) {
    options.training.allow_tf32 = options.device.precision == "tf32";
    if (options.device.precision == "bf16") return distill<CudaBfloat16>(options);
    distill<Cuda>(options);
}

}  // namespace

void (*gpu_job())(Options&) { return distill_on_gpu; }

}  // namespace distill_food11
