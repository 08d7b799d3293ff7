// SPDX-License-Identifier: MIT
// A batch of one's own has 32-bit labels.
// expect: the labels of a batch are a std::vector<std::int32_t>; ArrayData takes labels of any integer type
// without: nvcc
// errors: 1
#include <bantam/cpu/trainer.hpp>
#include <bantam/layers/linear.hpp>
#include <bantam/layers/pooling.hpp>

#include <cstdint>
#include <vector>

using namespace bantam;

using Net = Network<Image<8, 8, 3>, GlobalAveragePool, Linear<3>>;

#ifdef TWIN
using Label = std::int32_t;
#else
using Label = std::uint8_t;
#endif

struct OwnBatch {
    Index count;
    std::vector<float> pixels;
    std::vector<Label> labels;
    std::vector<float> teacher_logits;
    std::vector<std::uint8_t> has_teacher;
};

LossSums train(Trainer<Net>& trainer, const OwnBatch& batch) { return trainer.step(batch, 10); }
