// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/bantam.hpp>

#include <vector>

using Net = bantam::Student<
    bantam::Network<bantam::Image<16, 16, 3>, bantam::Conv2d<8, 3, 2>, bantam::BatchNorm2d, bantam::ReLU6,
                    bantam::Residual<bantam::DepthwiseSeparable<8>>, bantam::GlobalAveragePool, bantam::Linear<5>>>;

/// The logits of a fixed picture and seed, computed in the other translation unit.
std::vector<float> logits_of_the_other_file();

/// The same logits, computed in the translation unit that calls this.
inline std::vector<float> compute_logits() {
    bantam::cpu::Model<Net> model;
    model.initialize(1);
    std::vector<float> picture(model.input_elements, 0.5F);
    std::vector<float> logits(model.output_elements);
    model.infer(picture.data(), 1, logits.data());
    return logits;
}
