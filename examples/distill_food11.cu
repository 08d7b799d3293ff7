// SPDX-License-Identifier: MIT
// The job on a GPU, for builds that nvcc takes part in.

#include <bantam/cuda/picture_data.hpp>
#include <bantam/cuda/trainer.hpp>

#include "distill_food11.hpp"

template void distill_food11::distill<bantam::Cuda>(Options&);
template void distill_food11::distill<bantam::CudaBfloat16>(Options&);
