// SPDX-License-Identifier: MIT
// What nvcc must be able to compile: training and inference of the reference students on a GPU.
#include <bantam/cuda/trainer.hpp>
#include <bantam/models/mobile.hpp>
#include <bantam/models/tiniest.hpp>

#include <cstdint>
#include <vector>

namespace {

struct Batch {
    std::int64_t count = 0;
    std::vector<float> pixels;
    std::vector<int> labels;
    std::vector<float> teacher_logits;
    std::vector<std::uint8_t> has_teacher;
};

}  // namespace

template class bantam::Trainer<bantam::Mobile98k<11>, bantam::Cuda>;
template bantam::LossSums bantam::Trainer<bantam::Mobile98k<11>, bantam::Cuda>::step(const Batch&, std::int64_t);
template bantam::LossSums bantam::Trainer<bantam::Mobile98k<11>, bantam::Cuda>::evaluate(const Batch&);
template class bantam::cuda::Model<bantam::Tiniest97k<10>>;
template class bantam::cuda::Model<bantam::Tiniest97k<10>, bantam::Bfloat16>;
template class bantam::cuda::Model<bantam::Mobile98k<11>, bantam::Bfloat16>;
