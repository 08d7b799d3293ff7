// SPDX-License-Identifier: MIT
// The job on a GPU, for builds that nvcc takes part in.

#include <bantam/cuda/data/picture_data.hpp>
#include <bantam/cuda/training/trainer.hpp>

#include "distill_food11.hpp"

void distill_food11::distill_on_gpu(Options& options) {
    options.training.allow_tf32 = options.device.precision == "tf32";
    if (options.device.precision == "bf16") return distill<CudaBfloat16>(options);
    distill<Cuda>(options);
}
